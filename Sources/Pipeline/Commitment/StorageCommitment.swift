// SPDX-License-Identifier: Apache-2.0

package import Associations
package import DICOM
package import Logging
package import Persistence
package import Platform
package import ServiceLifecycle

/// Storage commitment of a node, in both roles.
package struct StorageCommitment: StorageCommitmentReceiver {
    /// Asks peers about objects that the node has sent.
    package let requester: CommitmentRequester
    /// Answers peers about instances that the node has received.
    package let reporter: CommitmentReporter

    /// - Parameters:
    ///   - caller: makes the associations.
    ///   - peers: the configured peers.
    ///   - journal: takes the states.
    ///   - clock: times the waits.
    ///   - limits: times and bounds.
    ///   - logger: receives a message for each change of state.
    ///   - onLost: called if an object has to be sent again; must not block.
    package init(
        caller: any CommitmentCaller, peers: [Peer], journal: Journal, clock: NodeClock,
        limits: CommitmentLimits = CommitmentLimits(), logger: Logger, onLost: @escaping @Sendable () -> Void
    ) {
        let refusals = CommitmentRefusals(journal: journal, clock: clock, logger: logger)
        requester = CommitmentRequester(
            caller: caller, peers: peers, journal: journal, clock: clock, limits: limits, logger: logger,
            refusals: refusals, onLost: onLost)
        reporter = CommitmentReporter(
            caller: caller, peers: peers, journal: journal, clock: clock, limits: limits, logger: logger,
            refusals: refusals)
    }

    /// The services that the node runs.
    package var services: [any Service] { [requester, reporter] }

    package func asked(
        _ request: CommitmentRequest, by peer: Peer, address: IPAddress, over association: any ReportingAssociation
    ) -> DIMSEStatus {
        reporter.asked(request, by: peer, address: address, over: association)
    }

    package func told(_ result: CommitmentResult, by peer: Peer, address: IPAddress) -> DIMSEStatus {
        requester.told(result, by: peer, address: address)
    }
}
