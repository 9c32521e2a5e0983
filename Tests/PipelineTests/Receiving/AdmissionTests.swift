// SPDX-License-Identifier: Apache-2.0

import Associations
import DICOM
import Pipeline
import Platform
import TestSupport
import Testing

/// Who gets a place, and what the system has to grant for it.
@Suite(.serialized, .timeLimit(.minutes(1))) struct AdmissionTests {
    private static let storage = [
        SOPClassAndSyntax(sopClassUID: RawClient.ctImageStorage, transferSyntaxUID: "1.2.840.10008.1.2")
    ]
    private static let verification = [
        SOPClassAndSyntax(sopClassUID: SOPClass.verification, transferSyntaxUID: "1.2.840.10008.1.2")
    ]

    /// Opens associations until one is rejected.
    ///
    /// - Returns: the open ones, at most 20, and the rejection.
    private static func open(
        _ contexts: [SOPClassAndSyntax], as title: AETitle, at port: UInt16
    ) -> (open: [RequestedAssociation], rejection: AssociationError?) {
        let node = Peer(name: "us", aeTitle: RunningListener.us, host: "127.0.0.1", port: port)
        let sender = AssociationRequestor(aeTitle: title, senders: .tests)
        var open: [RequestedAssociation] = []
        while open.count < 20 {
            do throws(AssociationError) {
                open.append(try sender.connect(to: node, contexts: ContextProposal.storage(contexts)))
            } catch {
                return (open, error)
            }
        }
        return (open, nil)
    }

    @Test func `one peer cannot hold every place`() async throws {
        try await RunningListener.with(maxAssociations: 6, hasTwoPeers: true) { listener in
            let counts = try await DedicatedThread.run(name: "test-places") {
                let first = Self.open(Self.storage, as: RunningListener.them, at: listener.port)
                let second = Self.open(Self.storage, as: RunningListener.others, at: listener.port)
                #expect(first.rejection == .rejected(.localLimitExceeded))
                return withExtendedLifetime((first, second)) { [first.open.count, second.open.count] }
            }
            #expect(counts == [3, 3])
        }
    }

    @Test func `a peer that calls alone may take every place`() async throws {
        try await RunningListener.with(maxAssociations: 6) { listener in
            let count = try await DedicatedThread.run(name: "test-places") {
                Self.open(Self.storage, as: RunningListener.them, at: listener.port).open.count
            }
            #expect(count == 6)
        }
    }

    @Test func `idle C-ECHO associations of one peer do not keep another from C-ECHO or C-STORE`() async throws {
        try await RunningListener.with(maxAssociations: 2, hasTwoPeers: true) { listener in
            try await DedicatedThread.run(name: "test-places") {
                let idle = Self.open(Self.verification, as: RunningListener.them, at: listener.port)
                #expect(idle.open.count == 4 && idle.rejection == .rejected(.localLimitExceeded))
                let node = Peer(name: "us", aeTitle: RunningListener.us, host: "127.0.0.1", port: listener.port)
                let status = try AssociationRequestor(aeTitle: RunningListener.others, senders: .tests).echo(node)
                #expect(status == .success)
                #expect(Self.open(Self.storage, as: RunningListener.others, at: listener.port).open.count == 1)
                withExtendedLifetime(idle) {}
            }
        }
    }

    @Test(
        arguments: [
            (1, nil, 5, 1), (32, nil, 1, 32), (32, nil, 2, 16), (5, nil, 2, 3), (32, 20, 9, 20), (8, 20, 9, 8),
        ] as [(Int, Int?, Int, Int)])
    func `by default half of the places are for one peer of several`(storing: Int, set: Int?, callers: Int, most: Int) {
        #expect(AssociationPlaces(storing: storing, storingPerPeer: set, callers: callers).storingPerPeer == most)
    }

    @Test func `the system has to grant the descriptors that the places need`() throws {
        let title = try #require(AETitle("KONTUR"))
        let usual = DescriptorNeed(ListenerConfiguration(aeTitle: title), workers: 1)
        // A limit of 1,024 is usual.
        #expect(usual.total <= 1024)
        let many = DescriptorNeed(ListenerConfiguration(aeTitle: title, maxAssociations: 1024), workers: 1)
        #expect(many.total > 3 * 1024)
        try many.provide { $0 }
        let shortage = #expect(throws: DescriptorShortage.self) { try many.provide { _ in 1024 } }
        #expect(
            shortage?.description
                == "a node with node.maxAssociations 1024 needs up to \(many.total) open files and sockets, and the "
                + "system allows 1024; raise the hard limit (LimitNOFILE of systemd, `ulimit -Hn`), or lower "
                + "node.maxAssociations")
    }
}
