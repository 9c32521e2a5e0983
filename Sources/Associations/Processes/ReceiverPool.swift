// SPDX-License-Identifier: Apache-2.0

public import Logging
public import Platform

/// How many receivers a node keeps, and for how long.
public struct ReceiverLimits: Sendable, Equatable {
    /// Most processes at once.
    public var most: Int
    /// Processes that wait beyond those that were used at once within the last minutes.
    public var spare: Int
    /// Associations after which a process is replaced.
    public var associations: Int
    /// Time after which a process is replaced.
    public var age: Duration
    /// The time that a process may take to start.
    public var start: Duration

    public init(
        most: Int, spare: Int = 2, associations: Int = 1000, age: Duration = .seconds(3600),
        start: Duration = .seconds(10)
    ) {
        precondition(most > 0, "a pool has at least one process")
        self.most = most
        self.spare = spare
        self.associations = associations
        self.age = age
        self.start = start
    }
}

/// The `kontur receiver` processes of a node.
///
/// Processes wait before a peer calls, so that no caller waits for a start. A process serves many associations, one
/// after the other. One thread starts, replaces and reaps the processes that wait.
// `@unchecked`: the mutable properties are touched only under `condition`.
public final class ReceiverPool: @unchecked Sendable {
    /// Failed starts in a row after which a caller is not kept waiting for the next start.
    private static let failuresWithoutHope = 3
    /// The longest pause between failed starts.
    private static let longestPause: Duration = .seconds(30)
    /// The time over which the use of processes is remembered.
    private static let memory: Duration = .seconds(120)
    /// Processes that are started side by side.
    private static let startsAtOnce = 4
    /// The pause before a start that no caller waits for, while associations need the processor.
    private static let easyPause: Duration = .seconds(1)

    private let executable: String
    private let limits: ReceiverLimits
    private let logger: Logger
    /// Rings if the thread of the pool has something to do.
    private let wakeUp: WakeUp
    /// Woken when a process waits, or when the pool stops.
    private let condition = MonotonicCondition()
    private var idle: [ReceiverProcess] = []
    private var busy = 0
    /// Callers that wait for a process.
    private var waiting = 0
    private var use = UseMemory()
    /// Starts that failed in a row.
    private var failures = 0
    private var startsAgainAt: Duration = .zero
    /// The time of the last start.
    private var startedAt: Duration = .zero
    private var isStopped = false
    private var credentials: (generation: Int, message: [UInt8]) = (0, [])

    /// - Parameters:
    ///   - executable: path of `kontur`, whose `receiver` command the processes run.
    ///   - limits: the number of processes.
    ///   - logger: receives a message for each process that fails.
    /// - Throws: the error of eventfd(2), if no descriptor is left.
    public init(
        executable: String = CurrentProcess.executable, limits: ReceiverLimits, logger: Logger
    ) throws(SystemCallError) {
        self.executable = executable
        self.limits = limits
        self.logger = logger
        wakeUp = try WakeUp()
    }

    /// Gives the processes the certificates and keys for secure connections, from their next association on.
    ///
    /// - Parameter message: the whole message `credentials`.
    package func use(credentials message: [UInt8]) {
        condition.withLock { credentials = (credentials.generation + 1, message) }
    }

    /// The number of processes that wait, and the number of starts that failed in a row.
    package var condensedState: (idle: Int, failedStarts: Int) { condition.withLock { (idle.count, failures) } }

    // MARK: Use

    /// A process that waits for a connection.
    ///
    /// - Parameter deadline: a reading of ``MonotonicClock``.
    /// - Returns: `nil` if no process waits in time. ``giveBack(_:)`` must follow otherwise.
    package func take(until deadline: Duration) -> ReceiverProcess? {
        while let process = takeIdle(until: deadline) {
            if prepare(process, until: deadline) { return process }
            discard(process)
        }
        return nil
    }

    private func takeIdle(until deadline: Duration) -> ReceiverProcess? {
        condition.withLock {
            waiting += 1
            defer { waiting -= 1 }
            while !isStopped {
                if let process = idle.popLast() {
                    busy += 1
                    use.note(busy, at: MonotonicClock.now())
                    // The next caller finds another one.
                    if idle.isEmpty { wakeUp.ring() }
                    return process
                }
                wakeUp.ring()
                let rest = deadline - MonotonicClock.now()
                guard rest > .zero, failures < Self.failuresWithoutHope else { return nil }
                _ = condition.wait(timeout: min(rest, .milliseconds(250)))
            }
            return nil
        }
    }

    /// Waits until the process can be given a connection, and gives it the newest credentials.
    private func prepare(_ process: ReceiverProcess, until deadline: Duration) -> Bool {
        let credentials = condition.withLock { self.credentials }
        do throws(ReceiverFault) {
            if process.isGone { throw process.fail(nil) }
            guard try process.becomeReady(until: deadline) else { throw .hung(waitingFor: "its readiness") }
            if process.credentials != credentials.generation {
                try process.send(.credentials(credentials.message))
                guard try process.becomeReady(until: deadline) else { throw .hung(waitingFor: "its credentials") }
                process.credentials = credentials.generation
            }
            return true
        } catch {
            report(process.fail(error), of: process)
            return false
        }
    }

    /// Takes a process back whose association is over, or which cannot be used any more.
    package func giveBack(_ process: ReceiverProcess) {
        let isKept = condition.withLock {
            guard process.canGoOn, !isStopped, process.associations < limits.associations,
                MonotonicClock.now() - process.startedAt < limits.age
            else { return false }
            busy -= 1
            idle.append(process)
            if waiting > 0 { condition.wakeAll() }
            return true
        }
        if !isKept { discard(process) }
    }

    private func discard(_ process: ReceiverProcess) {
        process.fail(nil)
        condition.withLock { busy -= 1 }
        wakeUp.ring()
    }

    // MARK: The pool's thread

    /// Starts, replaces and reaps processes until `stop`.
    ///
    /// Blocks.
    package func run() {
        while let count = missing() {
            start(count)
            let idle = condition.withLock { self.idle }
            var entries = [PollEntry(wakeUp.descriptor, reading: true)]
            // Without events, an entry becomes ready when the process hangs up.
            entries += idle.map { PollEntry($0.descriptor) }
            Polling.wait(&entries, atMost: pause)
            wakeUp.clear()
            reap()
        }
        let rest = condition.withLock {
            defer { idle = [] }
            return idle
        }
        for process in rest { process.fail(nil) }
    }

    /// Ends `run`, and the processes that wait; may be called from any thread.
    package func stop() {
        condition.withLock {
            isStopped = true
            condition.wakeAll()
        }
        wakeUp.ring()
    }

    /// The number of processes to start now; `nil` if the pool has stopped.
    private func missing() -> Int? {
        condition.withLock {
            if isStopped { return nil }
            let now = MonotonicClock.now()
            guard now >= startsAgainAt, !isEasy || now >= startedAt + Self.easyPause else { return 0 }
            // After a failure, one start has to succeed first. Open associations need the processor.
            let isOne = failures > 0 || (waiting == 0 && busy > 0)
            let count = max(0, min(lacking(at: now), isOne ? 1 : Self.startsAtOnce))
            if count > 0 { startedAt = now }
            return count
        }
    }

    /// The number of processes that should wait beside those that do.
    private func lacking(at now: Duration) -> Int {
        min(max(use.most(at: now) + limits.spare, busy + waiting + 1), limits.most) - busy - idle.count
    }

    /// Whether a process waits for the next caller while associations are open, so that other starts have time.
    private var isEasy: Bool { waiting == 0 && busy > 0 && !idle.isEmpty }

    /// How long the thread may sleep.
    private var pause: Duration {
        condition.withLock {
            let now = MonotonicClock.now()
            if startsAgainAt > now { return startsAgainAt - now }
            guard lacking(at: now) > 0 else { return .seconds(5) }
            return isEasy ? max(.zero, startedAt + Self.easyPause - now) : .zero
        }
    }

    private func start(_ count: Int) {
        var started: [ReceiverProcess] = []
        let environment = ProcessEnvironment.variables
        for _ in 0..<count {
            do throws(SpawnError) {
                started.append(
                    try ReceiverProcess(executable: executable, arguments: ["receiver"], environment: environment))
            } catch {
                failed("\(error)")
                break
            }
        }
        let deadline = MonotonicClock.now() + limits.start
        for process in started {
            do throws(ReceiverFault) {
                guard try process.becomeReady(until: deadline) else { throw .hung(waitingFor: "its start") }
                condition.withLock {
                    failures = 0
                    idle.append(process)
                    condition.wakeAll()
                }
            } catch {
                failed("\(process.fail(error))")
            }
        }
    }

    /// Notes a failed start, after which the next one waits.
    private func failed(_ cause: String) {
        let (count, pause) = condition.withLock {
            failures += 1
            let pause = min(.milliseconds(100) * (1 << min(failures, 20)), Self.longestPause)
            startsAgainAt = MonotonicClock.now() + pause
            condition.wakeAll()
            return (failures, pause)
        }
        logger.error(
            "a receiver process could not be started; callers are rejected while none waits",
            metadata: ["error": "\(cause)", "attempt": "\(count)", "next.attempt": "\(pause)"])
    }

    /// Lets go of the processes that have ended while they waited, of old ones, and of those that are not needed.
    private func reap() {
        let over = condition.withLock {
            let now = MonotonicClock.now()
            var over = idle.filter { $0.isGone || now - $0.startedAt >= limits.age }
            let wanted = min(use.most(at: now) + limits.spare, limits.most)
            let surplus = idle.count - over.count - max(0, wanted - busy)
            // The processes that waited for the longest time come first.
            if surplus > 0 {
                over += idle.filter { process in !over.contains { $0 === process } }.prefix(surplus)
            }
            idle.removeAll { process in over.contains { $0 === process } }
            return over
        }
        for process in over {
            let wasGone = process.isGone
            let fault = process.fail(nil)
            if wasGone { report(fault, of: process) }
        }
    }

    private func report(_ fault: ReceiverFault, of process: ReceiverProcess) {
        logger.warning(
            "a receiver process ended while it waited",
            metadata: ["process": "\(process.processID)", "error": "\(fault)"])
    }

    /// The most processes that were used at once within the last two windows.
    private struct UseMemory {
        private var begin: Duration = .zero
        private var last = 0
        private var current = 0

        mutating func note(_ count: Int, at now: Duration) {
            advance(to: now)
            current = max(current, count)
        }

        /// At least 2.
        mutating func most(at now: Duration) -> Int {
            advance(to: now)
            return max(last, current, 2)
        }

        private mutating func advance(to now: Duration) {
            guard now - begin >= ReceiverPool.memory else { return }
            last = now - begin >= ReceiverPool.memory * 2 ? 0 : current
            current = 0
            begin = now
        }
    }
}
