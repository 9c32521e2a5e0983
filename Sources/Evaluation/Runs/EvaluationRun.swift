// SPDX-License-Identifier: Apache-2.0

internal import Foundation
public import Supervision

/// Every case with every segmenter, on as many workers as the pool has; what is done already is not done again.
public struct EvaluationRun: Sendable {
    public struct Progress: Sendable {
        public var done: Int
        public var total: Int
        /// Done by an earlier run.
        public var skipped: Int
        public var failed: Int
        public var name: String
        public var caseID: String
    }

    public var cases: [EvaluationCase]
    public var plans: [SegmenterPlan]
    /// Absolute.
    public var output: String

    public init(cases: [EvaluationCase], plans: [SegmenterPlan], output: String) {
        self.cases = cases
        self.plans = plans
        self.output = output
    }

    /// - Parameter progress: called after every case.
    /// - Returns: results in the order of plans and cases; cases that a plan has no prompt for are missing.
    /// - Throws: `EvaluationError.unwritable`.
    public func perform(
        with pool: WorkerPool, log: ResultLog, progress: @escaping @Sendable (Progress) -> Void
    ) async throws -> [CaseResult] {
        let jobs = plans.flatMap { plan in
            cases.filter(plan.takes).map { CaseRun(source: $0, plan: plan, output: output, pool: pool) }
        }
        var results = [CaseResult?](repeating: nil, count: jobs.count)
        var state = Progress(done: 0, total: jobs.count, skipped: 0, failed: 0, name: "", caseID: "")
        try await withThrowingTaskGroup(of: (Int, CaseResult?, isNew: Bool).self) { group in
            var next = 0
            func start() {
                guard next < jobs.count, !Task.isCancelled else { return }
                let (number, job) = (next, jobs[next])
                next += 1
                group.addTask {
                    if let known = await job.known(in: log) { return (number, known, false) }
                    let result = await job.perform()
                    if let result { try log.append(result) }
                    return (number, result, true)
                }
            }
            for _ in 0..<pool.capacity(.segment) { start() }
            while let (number, result, isNew) = try await group.next() {
                results[number] = result
                state.done += 1
                if !isNew { state.skipped += 1 }
                if result?.failure != nil { state.failed += 1 }
                (state.name, state.caseID) = (jobs[number].plan.name, jobs[number].source.id)
                progress(state)
                start()
            }
        }
        return results.compactMap { $0 }
    }
}

extension CaseRun {
    /// What an earlier run found, if the case has not changed since.
    fileprivate func known(in log: ResultLog) async -> CaseResult? {
        let (source, plan) = (source, plan)
        return await Blocking.run {
            guard let digest = try? source.digest() else { return nil }
            var result = log.result(CaseResult.Key(source, digest: digest, plan: plan))
            // Groups and names belong to the data set, not to the work.
            result?.group = source.group
            result?.name = plan.name
            return result
        }
    }
}
