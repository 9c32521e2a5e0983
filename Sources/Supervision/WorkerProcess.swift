// SPDX-License-Identifier: Apache-2.0
//
// The parent's side of one worker: spawn, two pipes for the conversation, one for what it prints, kill and reap.
//
// Spawned with posix_spawn(3) rather than swift-subprocess: there a child lives inside one `async` call that reaps it on
// a thread of its own, while here one supervising thread must own the child from spawn to wait. Only so can its
// `kill(-group)` never reach a process id that was reaped and given away.

import Foundation
import Synchronization

/// A worker that could not be started.
public struct WorkerSpawnError: Error, CustomStringConvertible {
    public let executable: String
    /// The value of `errno`.
    public let code: Int32

    public init(executable: String, code: Int32) {
        self.executable = executable
        self.code = code
    }

    public var description: String {
        "could not start a worker (\(executable)): \(String(cString: strerror(code))); "
            + "check that the file is there and may be executed"
    }
}

/// One child process with its pipes. Not `Sendable`: it belongs to the thread that made it.
final class WorkerProcess {
    let processID: Int32
    /// The child's standard input; not blocking.
    let input: Int32
    /// The child's standard output; not blocking.
    let output: Int32
    /// What the child prints; not blocking.
    let errors: Int32
    private var reaped: WorkerDeath?

    /// Held from the making of the pipes to the spawn: there is no atomic way to make a pipe that other children, spawned
    /// at the same moment, do not inherit (pipe2 is hidden from Swift), and an inherited end would keep it open.
    private static let spawning = Mutex(())

    /// Starts `executable arguments` as the leader of a process group of its own, with nothing inherited but its pipes.
    init(executable: String, arguments: [String], environment: [String: String]) throws(WorkerSpawnError) {
        let result = Self.spawning.withLock { _ in
            Self.spawn(executable: executable, arguments: arguments, environment: environment)
        }
        switch result {
        case .success(let child): (processID, input, output, errors) = child
        case .failure(let error): throw error
        }
        // Behind the node's own threads, whatever the load.
        setpriority(__priority_which_t(PRIO_PROCESS.rawValue), id_t(processID), 10)
    }

    private typealias Child = (processID: Int32, input: Int32, output: Int32, errors: Int32)

    private static func spawn(
        executable: String, arguments: [String], environment: [String: String]
    ) -> Result<Child, WorkerSpawnError> {
        var pipes: [(read: Int32, write: Int32)] = []
        for _ in 0..<3 {
            var ends: [Int32] = [-1, -1]
            guard pipe(&ends) == 0 else {
                let code = errno
                for pipe in pipes {
                    close(pipe.read)
                    close(pipe.write)
                }
                return .failure(WorkerSpawnError(executable: executable, code: code))
            }
            for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
            pipes.append((ends[0], ends[1]))
        }
        let (inPipe, outPipe, errorPipe) = (pipes[0], pipes[1], pipes[2])

        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, inPipe.read, 0)
        posix_spawn_file_actions_adddup2(&actions, outPipe.write, 1)
        posix_spawn_file_actions_adddup2(&actions, errorPipe.write, 2)
        _ = Self.closeFrom3?(&actions, 3)

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

        let argv = ([executable] + arguments).map { strdup($0) } + [nil]
        let envp = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for pointer in argv + envp { free(pointer) } }
        var child: pid_t = 0
        let code = posix_spawn(&child, executable, &actions, &attributes, argv, envp)
        for childEnd in [inPipe.read, outPipe.write, errorPipe.write] { close(childEnd) }
        guard code == 0 else {
            for parentEnd in [inPipe.write, outPipe.read, errorPipe.read] { close(parentEnd) }
            return .failure(WorkerSpawnError(executable: executable, code: code))
        }
        for parentEnd in [inPipe.write, outPipe.read, errorPipe.read] {
            _ = fcntl(parentEnd, F_SETFL, O_NONBLOCK)
        }
        return .success((child, inPipe.write, outPipe.read, errorPipe.read))
    }

    /// posix_spawn_file_actions_addclosefrom_np(3), since glibc 2.34; the header hides it from Swift. Where it is missing
    /// only descriptors without FD_CLOEXEC are inherited, and the node has none.
    private static let closeFrom3:
        (@convention(c) (UnsafeMutablePointer<posix_spawn_file_actions_t>, Int32) -> Int32)? = {
            guard let symbol = dlsym(nil, "posix_spawn_file_actions_addclosefrom_np") else { return nil }
            return unsafeBitCast(
                symbol, to: (@convention(c) (UnsafeMutablePointer<posix_spawn_file_actions_t>, Int32) -> Int32).self)
        }()

    /// Whether the child has closed its output, as a process that has ended has.
    var hasHungUp: Bool {
        var state = pollfd(fd: output, events: 0, revents: 0)
        return poll(&state, 1, 0) > 0
    }

    /// Kills the whole group and reaps the child.
    @discardableResult
    func kill() -> WorkerDeath {
        if reaped == nil { Foundation.kill(-processID, SIGKILL) }
        return wait()
    }

    /// Waits for the child to end.
    private func wait() -> WorkerDeath {
        if let reaped { return reaped }
        var status: Int32 = 0
        while waitpid(processID, &status, 0) < 0 && errno == EINTR {}
        let signal = status & 0x7f
        let exit: WorkerDeath = signal == 0 ? .exited((status >> 8) & 0xff) : .signalled(signal)
        reaped = exit
        return exit
    }

    deinit {
        kill()
        close(input)
        close(output)
        close(errors)
    }
}
