// SPDX-License-Identifier: Apache-2.0

import Foundation

/// The clocks of a simulated machine: the wall clock, which can be set, and the time since the machine started.
// `@unchecked`: everything mutable is used only under `lock`.
final class TestClock: @unchecked Sendable {
    private let lock = NSLock()
    /// In the hour that files are received in, 26 minutes after it began.
    private var date = Date(
        timeIntervalSince1970: (Date().timeIntervalSince1970 / 3600).rounded(.down) * 3600 + 1600)
    private var up = Duration.seconds(5000)

    var wall: Date { lock.withLock { date } }
    var sinceBoot: Duration { lock.withLock { up } }

    /// Lets both clocks go on, and the node note them now and then.
    func pass(_ node: TestNode, _ time: Duration) throws {
        var rest = time
        while rest > .zero {
            let step = min(rest, .seconds(43_200))
            sleep(step)
            try node.journal.noteTime()
            rest -= step
        }
    }

    /// Lets both clocks go on while the node is off, or while the machine sleeps.
    func sleep(_ time: Duration) {
        lock.withLock {
            date += time / .seconds(1)
            up += time
        }
    }

    /// Sets the wall clock ahead, or back.
    func set(_ time: Duration) { lock.withLock { date += time / .seconds(1) } }

    /// Starts the machine anew.
    func boot() { lock.withLock { up = .seconds(30) } }

    /// Sets the clock that cannot be set, as libfaketime does.
    func fake(_ time: Duration) { lock.withLock { up = time } }
}
