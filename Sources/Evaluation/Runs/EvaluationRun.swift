// SPDX-License-Identifier: Apache-2.0

internal import Foundation
internal import Platform
public import Supervision

/// Runs every case with every segmenter on all workers of a pool.
///
/// Finished work is not repeated.
public struct EvaluationRun: Sendable {
    /// The state of a run after a case.
    public struct RunProgress: Sendable {
        /// The number of finished cases, counted for each segmenter.
        public var done: Int
        /// The number of cases times segmenters.
        public var total: Int
        /// The number of cases that an earlier run finished.
        public var skipped: Int
        /// The number of failed cases.
        public var failed: Int
        /// Name of the last segmenter.
        public var name: String
        /// The last case.
        public var caseID: String
    }

    /// The labelled cases.
    public var cases: [EvaluationCase]
    /// The segmenters with their prompts.
    public var plans: [SegmenterPlan]
    /// Absolute path of the output folder.
    public var output: String

    /// A run that writes its masks below `output`.
    public init(cases: [EvaluationCase], plans: [SegmenterPlan], output: String) {
        self.cases = cases
        self.plans = plans
        self.output = output
    }

    /// Runs the cases.
    ///
    /// - Parameters:
    ///   - pool: the workers.
    ///   - log: holds finished work and receives new results.
    ///   - progress: called after every case.
    /// - Returns: results in the order of plans and cases, without cases for which a plan does not
    ///   have a prompt.
    /// - Throws: `EvaluationError.unwritable`.
    public func perform(
        with pool: WorkerPool, log: ResultLog, progress: @escaping @Sendable (RunProgress) -> Void
    ) async throws -> [CaseResult] {
        let jobs = plans.flatMap { plan in
            cases.filter(plan.takes).map { CaseRun(source: $0, plan: plan, output: output, pool: pool) }
        }
        var results = [CaseResult?](repeating: nil, count: jobs.count)
        var state = RunProgress(done: 0, total: jobs.count, skipped: 0, failed: 0, name: "", caseID: "")
        try await withThrowingTaskGroup(of: (Int, CaseResult?, isNew: Bool).self) { group in
            var next = 0
            func start() {
                guard next < jobs.count, !Task.isCancelled else { return }
                let (number, job) = (next, jobs[next])
                next += 1
                group.addTask {
                    let (result, isNew) = await job.result(in: log)
                    if isNew, let result { try log.append(result) }
                    return (number, result, isNew)
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

/// Names of files and folders below the output folder.
enum FileNames {
    /// The name with characters that are plain in folders and shells.
    ///
    /// A changed name gets a hash, so that two names never become one.
    static func plain(_ name: String) -> String {
        let kept = name.unicodeScalars.map { scalar -> Character in
            let isPlain = scalar.isASCII && (scalar.properties.isAlphabetic || scalar.properties.numericType != nil)
            return isPlain || "._-".unicodeScalars.contains(scalar) ? Character(scalar) : "_"
        }
        let text = String(kept.prefix(80))
        if text == name, !text.hasPrefix(".") { return text }
        let hash = SHA256.hash(data: Data(name.utf8)).prefix(4).hexadecimal
        return "\(text.drop { $0 == "." })-\(hash)"
    }

    /// The deepest folder that holds all of these absolute paths.
    static func commonFolder(of paths: [String]) -> String {
        func folders(_ path: String) -> [Substring] { Array(path.split(separator: "/").dropLast()) }
        var common = paths.first.map(folders) ?? []
        for path in paths.dropFirst() { common = zip(common, folders(path)).prefix { $0 == $1 }.map(\.0) }
        return "/" + common.joined(separator: "/")
    }
}

/// Runs work that reads files or computes for long outside Swift's cooperative pool.
enum Blocking {
    /// Runs `body` on a thread of Dispatch and waits for its value.
    static func run<Value: Sendable>(_ body: @escaping @Sendable () -> Value) async -> Value {
        await withCheckedContinuation { continuation in
            DispatchQueue.global(qos: .utility).async { continuation.resume(returning: body()) }
        }
    }
}
