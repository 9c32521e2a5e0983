// SPDX-License-Identifier: Apache-2.0

import Imaging
import Pipeline
import Platform
import Supervision
import Testing

/// What each end of a run means: one test per end.
@Suite struct JobVerdictTests {
    private let outcome = SegmentOutcome(
        frames: 1, foundFrames: [], confidence: Confidence(value: 0, measures: [:]), frameConfidence: [0], outputs: [],
        overlays: [], notes: [])

    @Test func `an outcome is done`() {
        #expect(JobVerdict(.response(.segmented(outcome: outcome)), attempts: 3) == .done(outcome))
    }

    @Test func `an unfit stack is not tried again`() {
        #expect(JobVerdict(.response(.unfit(reason: "r")), attempts: 0) == .unfit(reason: "r"))
    }

    @Test func `a failure of the work itself is not tried again and not charged`() {
        #expect(JobVerdict(.response(.failed(reason: "r")), attempts: 0) == .dead(reason: "r", charged: false))
    }

    @Test func `a failing disk is not charged, however often`() {
        #expect(
            JobVerdict(.response(.hindered(reason: "r")), attempts: 100) == .queuedAgain(reason: "r", charged: false))
    }

    @Test func `a stopping node charges nothing`() {
        guard case .queuedAgain(_, charged: false) = JobVerdict(.stopped, attempts: 100) else {
            Issue.record("charged")
            return
        }
    }

    @Test func `a crash and an overrun are charged and the fifth is the last`() {
        for result in [WorkResult.workerDied(.signalled(11)), .overran(.memory), .workerDied(.exited(1))] {
            guard case .queuedAgain(_, charged: true) = JobVerdict(result, attempts: 3),
                case .dead(_, charged: true) = JobVerdict(result, attempts: 4)
            else {
                Issue.record("not charged as it should")
                return
            }
        }
    }

    @Test func `a kill from outside says little about the job`() {
        guard case .queuedAgain(_, charged: true) = JobVerdict(.workerDied(.signalled(9)), attempts: 18),
            case .dead(_, charged: true) = JobVerdict(.workerDied(.signalled(9)), attempts: 19)
        else {
            Issue.record("not charged as it should")
            return
        }
    }

    @Test func `a worker that could not be started is not charged`() {
        let error = SpawnError(executable: "/kontur", cause: SystemCallError(call: "posix_spawn", code: 2))
        guard case .queuedAgain(let reason, charged: false) = JobVerdict(.notStarted(error), attempts: 9) else {
            Issue.record("charged")
            return
        }
        #expect(reason.contains("/kontur"))
    }
}
