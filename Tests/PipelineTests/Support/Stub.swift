// SPDX-License-Identifier: Apache-2.0

import Foundation
import Imaging
import Logging
import Pipeline
import Synchronization

extension SegmenterDescriptor {
    static let stub = SegmenterDescriptor(
        name: "stub", version: "1", accepts: .frames, weightsHash: String(repeating: "0", count: 64),
        segmentLabel: "polyp", category: CodedConcept("49755003", "SCT", "Morphologically Abnormal Structure"),
        type: CodedConcept("41329004", "SCT", "Polyp"), anatomicRegion: nil,
        recommendedDisplayColor: DisplayColor(red: 0, green: 255, blue: 0), title: "", paper: "", licence: "")
}

extension Logger {
    /// Says nothing.
    static var silent: Logger { Logger(label: "test") { _ in SwiftLogNoOpLogHandler() } }
}

/// A clock whose wall side a test may move at will; its monotonic side runs.
final class JumpyClock: Sendable {
    private let jump = Mutex<TimeInterval>(0)

    func jump(by seconds: TimeInterval) { jump.withLock { $0 += seconds } }

    var clock: NodeClock {
        NodeClock(
            monotonic: NodeClock.system.monotonic, wall: { Date().addingTimeInterval(self.jump.withLock { $0 }) },
            chance: { 0 }, uuid: { UUID() })
    }
}
