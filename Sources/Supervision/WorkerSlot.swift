// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logging
import Platform

/// The place of one worker: it holds at most one process, starts it for a request, and replaces it when it is due.
///
/// It belongs to one thread of its ``WorkerQueue``. All calls block.
final class WorkerSlot {
    /// The lower scheduling priority of workers, relative to the node's own threads, for nice(2).
    private static let niceness: Int32 = 10

    private let role: WorkerRole
    private let number: Int
    private let limits: WorkerLimits
    private let configuration: WorkerPoolConfiguration
    private let logger: Logger
    private let printed: StandardErrorFile
    private var process: ChildProcess?
    /// Requests that the process has been given.
    private var served = 0

    init(role: WorkerRole, number: Int, limits: WorkerLimits, configuration: WorkerPoolConfiguration, logger: Logger) {
        self.role = role
        self.number = number
        self.limits = limits
        self.configuration = configuration
        var logger = logger
        logger[metadataKey: "worker.role"] = "\(role.rawValue)"
        logger[metadataKey: "worker.number"] = "\(number)"
        self.logger = logger
        printed = StandardErrorFile(
            path: configuration.printFolder.map { "\($0)/worker-\(role.rawValue)-\(number).txt" }, limit: 1 << 20)
    }

    /// Gives one request to the worker, and watches the worker until it answers or ends.
    ///
    /// - Parameters:
    ///   - request: a valid request of the slot's role.
    ///   - isStopped: called ten times per second. Once it returns true, the worker is killed.
    /// - Returns: the result; `.stopped` once `isStopped` returns true.
    func perform(_ request: QueuedRequest, isStopped: () -> Bool) -> WorkResult {
        if isStopped() { return .stopped }
        let start = MonotonicClock.now()
        let process: ChildProcess
        do {
            process = try ready()
        } catch {
            logger.error("worker not started", metadata: ["error": "\(error)"])
            return .notStarted(error)
        }
        let limits = limits.allowing(weightBytes: request.weightBytes)
        if request.measured != nil { ProcessUsage.resetPeak(processID: process.processID) }
        let result = RequestExchange(process: process, printed: printed).perform(
            request, watch: WorkerWatch(limits: limits, now: MonotonicClock.now()), isStopped: isStopped)
        served += 1
        if let measured = request.measured {
            measured(
                WorkMeasure(
                    duration: MonotonicClock.now() - start,
                    peakMemory: ProcessUsage.peak(processID: process.processID)))
        }
        if case .response = result {
            retireIfDue(process, limits)
        } else {
            process.kill()
            printed.drain(process.errors)
            self.process = nil
            report(result, processID: process.processID)
        }
        return result
    }

    /// Ends the worker, if there is one.
    ///
    /// The worker is idle, or its request has been given up.
    func endWorker() {
        process?.kill()
        process = nil
    }

    /// The running process of the worker.
    ///
    /// The method starts the process if there is none.
    ///
    /// A process that died while it was idle is replaced silently: the death must not count against the next request.
    private func ready() throws(SpawnError) -> ChildProcess {
        if let process, !process.hasHungUp { return process }
        endWorker()
        let threads = String(configuration.threadsPerWorker)
        let started = try ChildProcess(
            executable: configuration.executable,
            arguments: ["worker", "--role", role.rawValue, "--threads", threads],
            environment: Self.environment(threads: threads), niceness: Self.niceness)
        served = 0
        printed.begin()
        process = started
        logger.debug("worker started", metadata: ["worker.pid": "\(started.processID)"])
        return started
    }

    /// The environment of a worker: fixed variables, and a few variables of the node.
    ///
    /// The latter are the overrides of the kernels, and the folder into which sam-auto writes the masks that it
    /// considered.
    ///
    /// A worker that traps ends at once: a backtrace would take seconds and print memory, which may hold patient data.
    ///
    /// OpenMP's threads look for work 500 times, for a few microseconds, and then sleep while they wait. By default they spin
    /// much longer, which costs three times the processor time if the cores are shared. OpenBLAS computes on the threads of OpenMP, and does not need threads of its own.
    ///
    /// The C library keeps up to 128 MiB of freed memory, in one heap for all threads. By default, it gives each large
    /// block back to the kernel, which clears the pages at the next use; that took a tenth of the time of a frame.
    private static func environment(threads: String) -> [String: String] {
        let own = ProcessInfo.processInfo.environment
        let passed = ["ONEDNN_MAX_CPU_ISA", "KONTUR_KERNELS", "KONTUR_SAM_AUTO_MASKS"]
        let overrides = own.filter { $0.key.hasPrefix("KONTUR_INFERENCE") || passed.contains($0.key) }
        return overrides.merging([
            "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "TZ": "UTC0", "OMP_NUM_THREADS": threads,
            "OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "500", "OPENBLAS_NUM_THREADS": "1",
            "SWIFT_BACKTRACE": "enable=no",
            "MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "\(32 << 20)", "MALLOC_TRIM_THRESHOLD_": "\(128 << 20)",
        ]) { _, fixed in fixed }
    }

    private func retireIfDue(_ process: ChildProcess, _ limits: WorkerLimits) {
        let memory = ProcessUsage.residentMemory(processID: process.processID) ?? 0
        guard served >= limits.requests || memory > limits.memoryMark else { return }
        endWorker()
        logger.debug("worker replaced", metadata: ["worker.requests": "\(served)", "worker.memory": "\(memory)"])
    }

    private func report(_ result: WorkResult, processID: Int32) {
        var metadata: Logger.Metadata = ["worker.pid": "\(processID)"]
        switch result {
        case .workerDied(let death): metadata["worker.end"] = "\(death)"
        case .overran(let overrun): metadata["worker.end"] = "\(overrun)"
        case .response, .notStarted, .stopped: return
        }
        if let path = printed.path { metadata["worker.printed"] = "\(path)" }
        logger.warning("worker lost", metadata: metadata)
    }
}

/// The size-capped file for the standard error of a worker.
///
/// Libraries may print any text there, even patient data. The text therefore goes into a file in the spool (0600) and
/// never into the log. Each new worker empties the file.
final class StandardErrorFile {
    /// `nil` drops the text.
    let path: String?
    private let limit: Int
    private var file: FileDescriptor?
    private var written = 0

    /// - Parameters:
    ///   - path: `nil` drops the text.
    ///   - limit: most bytes in the file. Later text is dropped.
    init(path: String?, limit: Int) {
        self.path = path
        self.limit = limit
    }

    /// Empties the file for a new worker.
    ///
    /// The text of the previous worker is kept in a file whose name ends in `.old`.
    func begin() {
        guard let path else { return }
        file = nil
        if written > 0 { try? FileSystem.rename(path, to: path + ".old") }
        file = try? FileDescriptor(path: path, for: .replacing)
        written = 0
    }

    /// Moves the bytes in the pipe to the file.
    ///
    /// The worker never blocks on the pipe, because text over the limit is dropped.
    ///
    /// - Returns: `false` once the worker has closed the pipe.
    @discardableResult
    func drain(_ pipe: FileDescriptor) -> Bool {
        var buffer = [UInt8](repeating: 0, count: 1 << 14)
        while true {
            guard let result = try? buffer.withUnsafeMutableBytes({ try pipe.read(into: $0) }) else { return false }
            switch result {
            case .end: return false
            case .wouldBlock: return true
            case .bytes(let count): append(buffer[..<min(count, limit - written)])
            }
        }
    }

    private func append(_ bytes: ArraySlice<UInt8>) {
        guard let file, !bytes.isEmpty else { return }
        do {
            try bytes.withUnsafeBytes { try file.write($0) }
            written += bytes.count
        } catch {
            // If the disk is full, only this text is lost.
        }
    }
}
