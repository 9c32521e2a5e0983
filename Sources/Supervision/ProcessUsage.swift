// SPDX-License-Identifier: Apache-2.0

import Foundation

/// What a process uses, read from outside: proc(5), `/proc/<pid>/statm` and `/proc/<pid>/stat`.
public struct ProcessUsage: Sendable, Hashable {
    /// Bytes of resident memory.
    public var residentMemory: Int
    /// User and system time of all its threads.
    public var processorTime: Duration

    public init(residentMemory: Int, processorTime: Duration) {
        self.residentMemory = residentMemory
        self.processorTime = processorTime
    }

    /// The usage of a living process; `nil` when there is none with that id.
    public init?(processID: Int32) {
        guard let memory = ProcessUsage.file("/proc/\(processID)/statm"),
            let status = ProcessUsage.file("/proc/\(processID)/stat")
        else { return nil }
        self.init(statm: memory, stat: status)
    }

    /// Parses the two files.
    ///
    /// - Parameter stat: its second field is the program's name in parentheses, which may hold anything: fields are
    ///   counted from the last parenthesis.
    public init?(statm: String, stat: String) {
        let pages = statm.split(separator: " ")
        guard pages.count > 1, let resident = Int(pages[1]), let close = stat.lastIndex(of: ")") else { return nil }
        let fields = stat[stat.index(after: close)...].split(separator: " ")
        // Field 3 (state) is the first after the name, so utime (14) and stime (15) are at 11 and 12.
        guard fields.count > 12, let user = Int(fields[11]), let system = Int(fields[12]) else { return nil }
        residentMemory = resident * Int(sysconf(Int32(_SC_PAGESIZE)))
        processorTime = .milliseconds((user + system) * 1000 / max(1, Int(sysconf(Int32(_SC_CLK_TCK)))))
    }

    /// Makes the kernel count the peak of resident memory anew: proc(5), `/proc/<pid>/clear_refs`.
    static func resetPeak(processID: Int32) {
        let descriptor = open("/proc/\(processID)/clear_refs", O_WRONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        _ = write(descriptor, "5", 1)
        close(descriptor)
    }

    /// The most resident memory since then, or since the process began: `VmHWM` of `/proc/<pid>/status`, bytes.
    static func peak(processID: Int32) -> Int? {
        let line = file("/proc/\(processID)/status", capacity: 8192)?.split(separator: "\n").first {
            $0.hasPrefix("VmHWM:")
        }
        return line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int($0) }.map { $0 * 1024 }
    }

    /// Reads a small file of /proc, whose size is not known beforehand.
    private static func file(_ path: String, capacity: Int = 1024) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var buffer = [UInt8](repeating: 0, count: capacity)
        let count = read(descriptor, &buffer, buffer.count)
        return count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : nil
    }
}
