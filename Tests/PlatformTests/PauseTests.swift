// SPDX-License-Identifier: Apache-2.0

import Platform
import Platform
import Testing

@Suite struct PauseTests {
    @Test func `waits as long as asked, many tasks at once`() async {
        let start = MonotonicClock.now()
        await withTaskGroup(of: Void.self) { group in
            for number in 1...20 { group.addTask { await Pause.wait(.milliseconds(10 * number)) } }
        }
        #expect(MonotonicClock.now() - start >= .milliseconds(200))
        #expect(MonotonicClock.now() - start < .seconds(30))
    }

    @Test func `a task that is cancelled waits no longer`() async {
        let start = MonotonicClock.now()
        let waiting = Task { await Pause.wait(.seconds(60)) }
        await Pause.wait(.milliseconds(20))
        waiting.cancel()
        await waiting.value
        let cancelledBefore = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            await Pause.wait(.seconds(60))
        }
        await cancelledBefore.value
        #expect(MonotonicClock.now() - start < .seconds(20))
    }
}
