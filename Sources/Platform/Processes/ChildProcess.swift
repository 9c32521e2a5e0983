// SPDX-License-Identifier: Apache-2.0
//
// The parent's side of a child: spawn, three pipes, kill and reap.
//
// Children are spawned with posix_spawn(3) rather than swift-subprocess, which reaps a child on a thread of its own.
// Here one supervising thread owns the child from spawn to wait. Therefore its `kill(-group)` cannot hit another
// process that got the id of a child that was already reaped.

import CPlatform
import Glibc

/// A child that could not be started.
public struct SpawnError: Error, Sendable, CustomStringConvertible {
    public let executable: String
    public let cause: SystemCallError

    public init(executable: String, cause: SystemCallError) {
        self.executable = executable
        self.cause = cause
    }

    public var description: String {
        "could not start \(executable): \(cause.reason); check that the file is there and may be executed"
    }
}

/// One child process with its pipes.
///
/// Not `Sendable`: it belongs to the thread that made it.
public final class ChildProcess {
    /// How a child ended.
    public enum Ending: Sendable, Hashable {
        /// The child exited with this code.
        case exited(Int32)
        /// The child was ended by this signal.
        case signalled(Int32)
    }

    public let processID: Int32
    /// Writes to the child's standard input; does not block.
    public let input: FileDescriptor
    /// Reads the child's standard output; does not block.
    public let output: FileDescriptor
    /// Reads the child's standard error; does not block.
    public let errors: FileDescriptor
    private var ending: Ending?

    /// Starts a program as the leader of a process group of its own.
    ///
    /// The child inherits only its three pipes, and its signals are at their defaults.
    ///
    /// - Parameters:
    ///   - executable: a path; `PATH` is not searched.
    ///   - arguments: without the program's name.
    ///   - environment: all variables of the child.
    ///   - niceness: added to the parent's scheduling priority: 10 gives the child a lower priority than the parent.
    /// - Throws: ``SpawnError`` with the error of pipe2(2) or posix_spawn(3).
    public init(
        executable: String, arguments: [String], environment: [String: String], niceness: Int32
    ) throws(SpawnError) {
        do throws(SystemCallError) {
            let (childInput, input) = try FileDescriptor.pipe()
            let (output, childOutput) = try FileDescriptor.pipe()
            let (errors, childErrors) = try FileDescriptor.pipe()
            processID = try Self.spawn(
                [executable] + arguments, environment: environment,
                descriptors: [childInput, childOutput, childErrors])
            for end in [input, output, errors] { end.setNonblocking() }
            (self.input, self.output, self.errors) = (input, output, errors)
        } catch {
            throw SpawnError(executable: executable, cause: error)
        }
        setpriority(__priority_which_t(PRIO_PROCESS.rawValue), id_t(processID), niceness)
    }

    /// Starts a program with `descriptors` as its descriptors 0, 1 and 2.
    static func spawn(
        _ words: [String], environment: [String: String], descriptors: [FileDescriptor]
    ) throws(SystemCallError) -> Int32 {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for (number, descriptor) in descriptors.enumerated() {
            posix_spawn_file_actions_adddup2(&actions, descriptor.number, Int32(number))
        }
        _ = cplatform_close_from(&actions, Int32(descriptors.count))

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var defaults = sigset_t()
        var mask = sigset_t()
        sigfillset(&defaults)
        sigemptyset(&mask)
        posix_spawnattr_setsigdefault(&attributes, &defaults)
        posix_spawnattr_setsigmask(&attributes, &mask)
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK))

        let argv = words.map { strdup($0) } + [nil]
        let envp = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for pointer in argv + envp { free(pointer) } }
        var child: pid_t = 0
        let code = withExtendedLifetime(descriptors) {
            posix_spawn(&child, words[0], &actions, &attributes, argv, envp)
        }
        guard code == 0 else { throw SystemCallError(call: "posix_spawn", code: code) }
        return child
    }

    /// Whether the child has closed its output, which also happens when the child ends.
    public var hasHungUp: Bool {
        var entries = [PollEntry(output.number)]
        return Polling.wait(&entries, atMost: .zero)
    }

    /// Kills the whole process group and reaps the child.
    ///
    /// Later calls return the same ending.
    @discardableResult
    public func kill() -> Ending {
        if let ending { return ending }
        let ending = Self.end(processID)
        self.ending = ending
        return ending
    }

    /// Kills the process group of a child that was not reaped yet, and reaps the child.
    static func end(_ processID: Int32) -> Ending {
        Glibc.kill(-processID, SIGKILL)
        var status: Int32 = 0
        while waitpid(processID, &status, 0) < 0 && errno == EINTR {}
        let signal = status & 0x7f
        return signal == 0 ? .exited((status >> 8) & 0xff) : .signalled(signal)
    }

    deinit { kill() }
}
