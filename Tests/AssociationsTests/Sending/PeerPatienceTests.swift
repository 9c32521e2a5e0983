// SPDX-License-Identifier: Apache-2.0

import Associations
import Platform
import Testing

/// When a peer is too slow.
@Suite struct PeerPatienceTests {
    private func counts(_ acknowledged: Int, queued: Int = 0) -> TransferCounts {
        TransferCounts(acknowledged: UInt64(acknowledged), queued: UInt64(queued))
    }

    private var patience: PeerPatience { PeerPatience(response: .seconds(120), counts: counts(500), now: .zero) }

    @Test func `a peer has the time of a response from the last byte that it took`() {
        var patience = patience
        #expect(patience.judge(counts(500), now: .seconds(120)) == nil)
        #expect(patience.judge(counts(900), now: .seconds(121)) == nil)
        #expect(patience.judge(counts(900), now: .seconds(241)) == nil)
        #expect(patience.judge(counts(900), now: .seconds(242)) == "a response")
    }

    @Test func `a peer has to take a kibibyte per second on average`() {
        var patience = patience
        for second in 1...29 { #expect(patience.judge(counts(500, queued: 9), now: .seconds(second)) == nil) }
        #expect(patience.judge(counts(500 + 30 * 1024, queued: 9), now: .seconds(30)) == nil)
        #expect(patience.judge(counts(499 + 60 * 1024, queued: 9), now: .seconds(59)) == nil)
        #expect(patience.judge(counts(499 + 60 * 1024, queued: 9), now: .seconds(60)) == "the peer to read a request")
    }

    @Test func `a long transfer at a good rate has no end`() {
        var patience = patience
        for second in 1...3600 {
            #expect(patience.judge(counts(500 + second * 2048, queued: 9), now: .seconds(second)) == nil)
        }
    }

    @Test func `the rate counts only while bytes are on their way`() {
        var patience = patience
        for second in 1...100 { #expect(patience.judge(counts(500), now: .seconds(second)) == nil) }
        for second in 101...129 { #expect(patience.judge(counts(600, queued: 9), now: .seconds(second)) == nil) }
        #expect(patience.judge(counts(600, queued: 9), now: .seconds(130)) == "the peer to read a request")
    }
}
