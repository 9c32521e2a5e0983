// SPDX-License-Identifier: Apache-2.0

/// Bounds for the connections that do not belong to an open association.
///
/// Open associations have places of their own, so that connections of strangers cannot take those.
public struct ConnectionBounds: Sendable {
    /// The time from the connection to the end of its A-ASSOCIATE-RQ, the TLS handshake included (the ARTIM timer of
    /// PS3.8 9.1.5).
    public var requestLimit: Duration
    /// Bytes of the longest A-ASSOCIATE-RQ, without the PDU header.
    public var longestRequest: Int
    /// Bytes of all requests that have arrived in part.
    public var requestBytes: Int
    /// Connections without a whole request, in all and of one caller's network.
    public var waiting: (all: Int, perNetwork: Int)
    /// Connections that were rejected and whose peer has not closed them yet, in all and of one caller's network.
    public var rejected: (all: Int, perNetwork: Int)
    /// Connections whose association is over and whose peer has not closed them yet.
    public var ended: Int
    /// How long a connection is kept for its peer to close it.
    public var closingLimit: Duration

    /// The bounds of a node.
    public init(
        requestLimit: Duration = .seconds(5), longestRequest: Int = 1 << 20, requestBytes: Int = 64 << 20,
        waiting: (all: Int, perNetwork: Int) = (256, 128), rejected: (all: Int, perNetwork: Int) = (128, 32),
        ended: Int = 128, closingLimit: Duration = .seconds(1)
    ) {
        self.requestLimit = requestLimit
        self.longestRequest = longestRequest
        self.requestBytes = requestBytes
        self.waiting = waiting
        self.rejected = rejected
        self.ended = ended
        self.closingLimit = closingLimit
    }

    /// Most descriptors that these connections hold at once.
    public var descriptors: Int { waiting.all + rejected.all + ended }
}
