// SPDX-License-Identifier: Apache-2.0

package import DICOM
package import Platform

/// A connection whose peer has sent its whole A-ASSOCIATE-RQ, or its first TLS record, and waits for the answer.
package struct AssociationArrival: Sendable {
    let socket: StreamSocket
    /// The whole A-ASSOCIATE-RQ; empty for a secure connection, whose bytes are still in the kernel.
    let request: [UInt8]
    let lingering: LingeringSockets
    /// Whether the peer begins TLS.
    package let isSecure: Bool
    /// Whether the request may be handed on again later; otherwise it has to be answered now.
    package let mayWait: Bool
    /// When the connection was accepted, by ``MonotonicClock``.
    package let acceptedAt: Duration
    private let head: RequestHead?

    /// - Parameters:
    ///   - socket: the connection.
    ///   - request: the whole A-ASSOCIATE-RQ; `nil` for a secure connection.
    ///   - mayWait: whether the request may be handed on again.
    ///   - acceptedAt: when the connection was accepted.
    ///   - lingering: takes the socket after the end of the association.
    init(
        socket: StreamSocket, request: [UInt8]?, mayWait: Bool, acceptedAt: Duration, lingering: LingeringSockets
    ) {
        self.socket = socket
        self.request = request ?? []
        self.mayWait = mayWait
        self.acceptedAt = acceptedAt
        self.lingering = lingering
        isSecure = request == nil
        head = request.flatMap(RequestHead.init)
    }

    /// The caller's AE title; `nil` if it is not known yet, or if the field does not hold an AE title.
    package var callingAETitle: AETitle? { head?.callingAETitle }

    /// The AE title that was called; `nil` if it is not known yet, or if the field does not hold an AE title.
    package var calledAETitle: AETitle? { head?.calledAETitle }

    /// Whether the protocol version of the request is DICOM's; true if it is not known yet.
    package var isVersion1: Bool { head?.isVersion1 ?? true }

    /// Whether the request is too short for its two AE titles.
    package var isCutOff: Bool { !isSecure && head == nil }

    /// The caller's address.
    package var address: IPAddress { socket.address }

    /// Rejects the association without a receiver.
    ///
    /// A peer that begins TLS cannot be sent the reason: its connection is closed.
    package func reject(_ rejection: AssociationRejection) {
        if !isSecure { socket.writeAvailable(rejection.encoded) }
        lingering.add(socket, after: .rejection)
    }

    /// Aborts the association without a receiver, because the request is too short to be one (2/6).
    package func abort() {
        socket.writeAvailable(AssociationAbort(by: .us, source: 2, reason: 6).encoded)
        lingering.add(socket, after: .rejection)
    }
}
