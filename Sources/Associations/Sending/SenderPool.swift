// SPDX-License-Identifier: Apache-2.0

public import Platform
import Synchronization

/// The reason why nothing more comes from a sender, or nothing came in time.
enum SenderFailure: Error, Sendable, Equatable {
    case timeout
    /// The process is gone, with the cause.
    case gone(String)
}

/// A `kontur sender` process, and the conversation with it.
///
/// It belongs to one thread at a time. The process ends with the value's last copy.
struct SenderProcess: Sendable {
    private let child: ChannelProcess
    private(set) var conversation = SenderConversation()
    /// Associations that the process has requested.
    private(set) var associations = 0
    /// The generation of the credentials that it has; 0 for none.
    fileprivate var generation = 0

    /// Starts a process.
    init(executable: String) throws(SpawnError) {
        child = try ChannelProcess(
            executable: executable, arguments: ["sender"], environment: ProcessEnvironment.variables)
    }

    var processID: Int32 { child.processID }

    /// Whether the process has ended, or said something while it was not asked.
    var isSpent: Bool {
        var entries = [PollEntry(child.descriptor, reading: true)]
        return Polling.wait(&entries, atMost: .zero)
    }

    /// Sends a message, with a descriptor if the message needs one.
    mutating func send(_ order: SenderOrder, with descriptor: Int32 = -1) throws(SenderFailure) {
        do {
            try conversation.send(order)
            if case .associate = order { associations += 1 }
            try child.send(order.message, with: descriptor)
        } catch is SystemCallError {
            throw gone("")
        } catch {
            throw .gone("an order out of turn: \(error)")
        }
    }

    /// Waits for the next message.
    ///
    /// - Parameter deadline: a reading of the monotonic clock.
    /// - Returns: the message, and its meaning in the conversation.
    /// - Throws: `timeout`, or `gone` after which the process is dead.
    mutating func receive(until deadline: Duration) throws(SenderFailure) -> (SenderConversation.Meaning, SenderReply) {
        do {
            let reply = try SenderReply(try child.receive(until: deadline))
            return (try conversation.receive(reply), reply)
        } catch ChannelError.timeout {
            throw .timeout
        } catch ChannelError.closed {
            throw gone("")
        } catch {
            throw gone(" after a message out of turn")
        }
    }

    /// Kills the process, and tells how it ended.
    private func gone(_ words: String) -> SenderFailure {
        switch child.kill() {
        case .exited(let code): .gone("the sending process ended with code \(code)\(words)")
        case .signalled(let number): .gone("the sending process ended by signal \(number)\(words)")
        }
    }
}

/// The `kontur sender` processes of a node.
///
/// A process requests many associations, one after the other. A few of them wait for the next one.
public final class SenderPool: Sendable {
    /// Processes that wait at most.
    private static let mostIdle = 2
    /// Associations after which a process is replaced.
    private static let mostAssociations = 1000
    /// The time that a process may take to start.
    private static let startLimit: Duration = .seconds(10)

    private let executable: String
    private let idle = Mutex<[SenderProcess]>([])
    /// The newest message `credentials`, and its number, from 1 on.
    private let credentials = Mutex<(message: [UInt8], generation: Int)>(([], 0))

    /// - Parameter executable: path of `kontur`, whose `sender` command the processes run.
    public init(executable: String = CurrentProcess.executable) {
        self.executable = executable
    }

    /// Gives the processes the certificates and keys for secure connections, from their next association on.
    public func use(_ newest: TLSCredentials) {
        credentials.withLock { $0 = (newest.message, $0.generation + 1) }
    }

    /// A process that waits for a request.
    ///
    /// The call starts a process if none waits, and blocks until the process is ready.
    ///
    /// - Parameter isSecure: whether the process needs the newest credentials.
    /// - Returns: the process, which belongs to the caller.
    /// - Throws: `SenderFailure` if no process could be started, or if it cannot use the credentials.
    func take(isSecure: Bool) throws(SenderFailure) -> SenderProcess {
        var process = try take()
        let newest = credentials.withLock { $0 }
        guard isSecure, process.generation != newest.generation else { return process }
        try process.send(.credentials(newest.message))
        let (_, reply) = try process.receive(until: MonotonicClock.now() + Self.startLimit)
        if case .unusable(let cause) = reply {
            give(process)
            throw .gone("TLS cannot be used: \(cause)")
        }
        process.generation = newest.generation
        return process
    }

    private func take() throws(SenderFailure) -> SenderProcess {
        while let process = idle.withLock({ $0.popLast() }) {
            if !process.isSpent { return process }
        }
        var process: SenderProcess
        do throws(SpawnError) {
            process = try SenderProcess(executable: executable)
        } catch {
            throw .gone("\(error)")
        }
        let deadline = MonotonicClock.now() + Self.startLimit
        while process.conversation.state == .starting { _ = try process.receive(until: deadline) }
        return process
    }

    /// Takes a process back that waits for a request.
    func give(_ process: SenderProcess) {
        guard process.conversation.state == .idle, process.associations < Self.mostAssociations else { return }
        idle.withLock { if $0.count < Self.mostIdle { $0.append(process) } }
    }
}
