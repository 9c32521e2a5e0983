// SPDX-License-Identifier: Apache-2.0

import Glibc

/// This process, as the operating system sees it.
public enum CurrentProcess {
    /// The path of the executable that runs.
    public static var executable: String {
        var path = [UInt8](repeating: 0, count: Int(PATH_MAX))
        let count = readlink("/proc/self/exe", &path, path.count)
        return count > 0 ? String(decoding: path[..<count], as: UTF8.self) : CommandLine.arguments[0]
    }

    /// Starts this program anew in the same process, with one more environment variable.
    ///
    /// Libraries read some variables before `main`. If the variable is set already, the call does nothing. Otherwise it
    /// returns only if the program cannot be started anew.
    public static func restart(settingOnce variable: String, to value: String) {
        guard getenv(variable) == nil else { return }
        setenv(variable, value, 1)
        execv(executable, CommandLine.unsafeArgv)
    }

    /// Makes this process ignore signals.
    public static func ignore(_ signals: Int32...) { for number in signals { signal(number, SIG_IGN) } }

    /// Makes a write to a pipe or socket fail if the reader is gone.
    ///
    /// By default, such a write would end the process.
    public static func ignoreBrokenPipes() { ignore(SIGPIPE) }

    /// Keeps the process running when the user interrupts its process group from the terminal.
    public static func ignoreInterrupts() { ignore(SIGINT) }

    /// Makes new files readable by this user alone, and disables core files, which would hold a patient's images.
    public static func keepFilesPrivate() {
        umask(0o077)
        var none = rlimit(rlim_cur: 0, rlim_max: 0)
        setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &none)
    }

    /// Moves standard output to another descriptor, so that only the caller writes to it.
    ///
    /// Text that libraries print goes to standard error from now on.
    ///
    /// - Returns: the former standard output.
    public static func takeStandardOutput() -> FileDescriptor {
        let output = FileDescriptor(owning: fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3))
        dup2(STDERR_FILENO, STDOUT_FILENO)
        return output
    }

    /// Ends the process at once, without exit handlers, because another thread may still be computing.
    public static func exitAtOnce(_ code: Int32) -> Never { _exit(code) }
}
