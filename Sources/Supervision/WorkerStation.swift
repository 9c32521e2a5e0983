// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logging
import Platform

/// The place of one worker: holds at most one process, starts it when there is work, replaces it when it must be.
/// Everything here blocks, on the lane's thread.
final class WorkerStation {
    private let role: WorkerRole
    private let number: Int
    private let limits: WorkerLimits
    private let configuration: WorkerPoolConfiguration
    private let logger: Logger
    private let print: PrintFile
    private var process: WorkerProcess?
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
        print = PrintFile(
            path: configuration.printFolder.map { "\($0)/worker-\(role.rawValue)-\(number).txt" }, limit: 1 << 20)
    }

    /// Puts one request to the worker and watches it until it answers or ends.
    func perform(_ item: WorkItem, isStopped: () -> Bool) -> WorkResult {
        if isStopped() { return .stopped }
        let start = monotonicNow()
        let process: WorkerProcess
        do {
            process = try ready()
        } catch {
            logger.error("worker not started", metadata: ["error": "\(error)"])
            return .notStarted(error)
        }
        let limits = limits.allowing(weightBytes: item.weightBytes)
        let conversation = WorkerConversation(process: process, print: print)
        ProcessUsage.resetPeak(processID: process.processID)
        let result = conversation.ask(
            item, watch: WorkerWatch(limits: limits, now: monotonicNow()), isStopped: isStopped)
        served += 1
        item.measured(
            WorkMeasure(
                duration: monotonicNow() - start, peakMemory: ProcessUsage.peak(processID: process.processID)))
        if case .response = result {
            retireIfDue(process, limits)
        } else {
            process.kill()
            print.drain(process.errors)
            self.process = nil
            report(result, processID: process.processID)
        }
        return result
    }

    /// Ends the worker, if there is one. It has nothing to finish: an answer that nobody waits for is none.
    func leave() {
        process?.kill()
        process = nil
    }

    /// The living process, started if need be. One that died while it had nothing to do is replaced in silence: the
    /// request that comes next must not be charged with it.
    private func ready() throws(WorkerSpawnError) -> WorkerProcess {
        if let process, !process.hasHungUp { return process }
        leave()
        let threads = String(configuration.threadsPerWorker)
        let started = try WorkerProcess(
            executable: configuration.executable,
            arguments: ["worker", "--role", role.rawValue, "--threads", threads],
            environment: Self.environment(threads: threads))
        served = 0
        print.begin()
        process = started
        logger.debug("worker started", metadata: ["worker.pid": "\(started.processID)"])
        return started
    }

    /// What a worker sees of our environment: nothing but the overrides of its kernels, and where sam-auto writes the
    /// masks it looked at.
    ///
    /// OpenMP's threads sleep while they wait: spinning, as they do of themselves, costs three times the processor time
    /// when the cores are shared. OpenBLAS works in the threads of OpenMP and needs none of its own.
    private static func environment(threads: String) -> [String: String] {
        let own = ProcessInfo.processInfo.environment
        let passed = ["ONEDNN_MAX_CPU_ISA", "KONTUR_KERNELS", "KONTUR_SAM_AUTO_MASKS"]
        let overrides = own.filter { $0.key.hasPrefix("KONTUR_INFERENCE") || passed.contains($0.key) }
        return overrides.merging([
            "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "TZ": "UTC0", "OMP_NUM_THREADS": threads,
            "OMP_WAIT_POLICY": "passive", "OPENBLAS_NUM_THREADS": "1",
        ]) { _, fixed in fixed }
    }

    private func retireIfDue(_ process: WorkerProcess, _ limits: WorkerLimits) {
        let memory = ProcessUsage(processID: process.processID)?.residentMemory ?? 0
        guard served >= limits.requests || memory > limits.memoryMark else { return }
        leave()
        logger.debug("worker replaced", metadata: ["worker.requests": "\(served)", "worker.memory": "\(memory)"])
    }

    private func report(_ result: WorkResult, processID: Int32) {
        var metadata: Logger.Metadata = ["worker.pid": "\(processID)"]
        switch result {
        case .workerDied(let death): metadata["worker.end"] = "\(death)"
        case .overran(let overrun): metadata["worker.end"] = "overran its limit: \(overrun.rawValue)"
        case .response, .notStarted, .stopped: return
        }
        if let path = print.path { metadata["worker.printed"] = "\(path)" }
        logger.warning("worker lost", metadata: metadata)
    }
}

/// A reading of the monotonic clock, since any origin.
func monotonicNow() -> Duration {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return .seconds(now.tv_sec) + .nanoseconds(now.tv_nsec)
}
