// SPDX-License-Identifier: Apache-2.0

package import Platform

/// A receiver that cannot be used any more.
package enum ReceiverFault: Error, Sendable, Equatable, CustomStringConvertible {
    /// The process ended by itself, or from outside.
    case died(ChildProcess.Ending)
    /// The process sent a message that is malformed, too long or out of turn, and was killed.
    case misbehaved
    /// The process did not do its part in time, and was killed. The text names the part.
    case hung(waitingFor: String)
    /// The process cannot use the certificate and the key of the node. The text has the cause.
    case unusable(String)

    package var description: String {
        switch self {
        case .died(.exited(let code)): "the receiver process ended with exit code \(code)"
        case .died(.signalled(let signal)): "the receiver process died: signal \(signal)"
        case .misbehaved: "the receiver process sent a message out of turn, and was killed"
        case .hung(let part): "the receiver process hung and was killed: waiting for \(part)"
        case .unusable(let cause): "the receiver process cannot use the credentials: \(cause)"
        }
    }
}

/// One receiver: its process and the state of the conversation.
///
/// One thread at a time uses it, except ``isGone``.
// `@unchecked`: the pool hands the object from thread to thread under its lock.
package final class ReceiverProcess: @unchecked Sendable {
    private let process: ChannelProcess
    private(set) var conversation = ReceiverConversation()
    /// When the process was started, by ``MonotonicClock``.
    let startedAt = MonotonicClock.now()
    /// Associations that it was given.
    private(set) var associations = 0
    /// The generation of the credentials that it has; 0 for none.
    var credentials = 0
    private var fault: ReceiverFault?

    /// Starts a process.
    ///
    /// - Throws: ``SpawnError``, for instance if the executable is missing.
    init(executable: String, arguments: [String], environment: [String: String]) throws(SpawnError) {
        process = try ChannelProcess(executable: executable, arguments: arguments, environment: environment)
    }

    /// The number of the process.
    package var processID: Int32 { process.processID }
    /// The number to wait for with ``Polling``.
    var descriptor: Int32 { process.descriptor }

    /// Whether the process has closed its end of the channel, which also happens when it ends.
    var isGone: Bool {
        var entries = [PollEntry(process.descriptor)]
        return Polling.wait(&entries, atMost: .zero)
    }

    /// Sends a message.
    ///
    /// - Parameters:
    ///   - order: a message that the state allows.
    ///   - descriptor: travels with the message; negative for none.
    /// - Throws: the fault that ended the process.
    func send(_ order: ReceiverOrder, with descriptor: Int32 = -1) throws(ReceiverFault) {
        if let fault { throw fault }
        do throws(ReceiverConversation.OutOfTurn) {
            try conversation.send(order)
        } catch {
            preconditionFailure("the node may not send \(order) while the receiver is \(error.state)")
        }
        if case .associate = order { associations += 1 }
        do throws(SystemCallError) {
            try process.send(order.message, with: descriptor)
        } catch {
            throw fail(nil)
        }
    }

    /// Waits for the next message.
    ///
    /// - Parameter deadline: a reading of ``MonotonicClock``.
    /// - Returns: `nil` if no message came in time.
    /// - Throws: the fault that ended the process, which has been reaped then.
    func next(until deadline: Duration) throws(ReceiverFault) -> ReceiverReport? {
        if let fault { throw fault }
        while true {
            let message: [UInt8]
            do throws(ChannelError) {
                message = try process.receive(until: deadline)
            } catch {
                switch error {
                case .timeout: return nil
                case .closed: throw fail(nil)
                case .tooLong: throw fail(.misbehaved)
                }
            }
            guard let report = try? ReceiverReport(message), let isOfInterest = try? conversation.receive(report) else {
                throw fail(.misbehaved)
            }
            if isOfInterest { return report }
        }
    }

    /// Waits until the receiver can be given a connection.
    ///
    /// - Returns: false if it was not ready in time.
    /// - Throws: the fault that ended the process.
    func becomeReady(until deadline: Duration) throws(ReceiverFault) -> Bool {
        while conversation.state != .idle {
            guard let report = try next(until: deadline) else { return false }
            if case .unusable(let cause) = report { throw fail(.unusable(cause)) }
        }
        return true
    }

    /// Kills the process.
    ///
    /// - Parameter fault: the reason; `nil` if the process has ended by itself.
    /// - Returns: the error of this call and of later calls.
    @discardableResult
    func fail(_ fault: ReceiverFault?) -> ReceiverFault {
        if let fault = self.fault { return fault }
        let ending = process.kill()
        let found = fault ?? .died(ending)
        self.fault = found
        return found
    }

    /// Whether the receiver can serve another association.
    var canGoOn: Bool {
        fault == nil && (conversation.state == .starting || conversation.state == .idle)
    }
}
