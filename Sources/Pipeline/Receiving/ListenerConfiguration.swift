// SPDX-License-Identifier: Apache-2.0

public import DICOM

/// Where the node listens and whom it listens to.
public struct ListenerConfiguration: Sendable, Equatable {
    /// What callers have to call us.
    public var aeTitle: AETitle
    /// 0 lets the kernel choose.
    public var port: UInt16
    /// The address to listen on: `0.0.0.0` is every IPv4 address, `::` every address of both families.
    public var bind: IPAddress
    /// Associations at once. Two more are kept for those that propose only Verification.
    public var maxAssociations: Int
    /// Who may call. Whoever is not named is refused.
    public var peers: [Peer]
    /// How long an association may wait between two requests.
    public var idleLimit: Duration

    public init(
        aeTitle: AETitle, port: UInt16 = 11112, bind: IPAddress = .anyIPv4, maxAssociations: Int = 32,
        peers: [Peer] = [],
        idleLimit: Duration = .seconds(120)
    ) {
        precondition(maxAssociations > 0, "a listener takes at least one association")
        self.aeTitle = aeTitle
        self.port = port
        self.bind = bind
        self.maxAssociations = maxAssociations
        self.peers = peers
        self.idleLimit = idleLimit
    }
}
