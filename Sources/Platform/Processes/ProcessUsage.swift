// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Memory and processor time of a process, read from outside: proc(5), `/proc/<pid>/statm` and `/proc/<pid>/stat`.
public struct ProcessUsage: Sendable, Hashable {
    /// Bytes of resident memory.
    public var residentMemory: Int
    /// Bytes of resident memory that show a file: the kernel takes them back as soon as it needs them.
    public var mappedMemory: Int
    /// User and system time of all its threads.
    public var processorTime: Duration

    public init(residentMemory: Int, mappedMemory: Int = 0, processorTime: Duration) {
        self.residentMemory = residentMemory
        self.mappedMemory = mappedMemory
        self.processorTime = processorTime
    }

    /// Reads the usage of a living process; `nil` if a process with that id does not exist.
    public init?(processID: Int32) {
        guard let memory = ProcessUsage.file("/proc/\(processID)/statm"),
            let status = ProcessUsage.file("/proc/\(processID)/stat")
        else { return nil }
        self.init(statm: memory, stat: status)
    }

    /// Parses the two files.
    ///
    /// - Parameters:
    ///   - statm: the content of `/proc/<pid>/statm`.
    ///   - stat: the content of `/proc/<pid>/stat`. The second field is the program's name in parentheses and may hold
    ///     any character, so fields are counted from the last parenthesis.
    public init?(statm: [UInt8], stat: [UInt8]) {
        let pages = Fields(statm[...])
        guard let resident = pages.number(1), let mapped = pages.number(2),
            let close = stat.lastIndex(of: UInt8(ascii: ")"))
        else { return nil }
        let fields = Fields(stat[(close + 1)...])
        // Field 3 (state) is the first after the name, so utime (14) and stime (15) are at 11 and 12.
        guard let user = fields.number(11), let system = fields.number(12) else { return nil }
        residentMemory = resident * Int(sysconf(Int32(_SC_PAGESIZE)))
        mappedMemory = mapped * Int(sysconf(Int32(_SC_PAGESIZE)))
        processorTime = .milliseconds((user + system) * 1000 / max(1, Int(sysconf(Int32(_SC_CLK_TCK)))))
    }

    /// The resident memory of a living process, in bytes.
    public static func residentMemory(processID: Int32) -> Int? {
        file("/proc/\(processID)/statm").flatMap { Fields($0[...]).number(1) }
            .map { $0 * Int(sysconf(Int32(_SC_PAGESIZE))) }
    }

    /// Words between spaces; the node reads such a file for every instance that it indexes.
    private struct Fields {
        private let words: [ArraySlice<UInt8>]

        init(_ text: ArraySlice<UInt8>) {
            words = text.split { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\n") }
        }

        /// The decimal number at a place; `nil` if it is missing.
        func number(_ place: Int) -> Int? {
            guard place < words.count, words[place].count <= 18 else { return nil }
            var number = 0
            for byte in words[place] {
                guard (48...57).contains(byte) else { return nil }
                number = 10 * number + Int(byte - 48)
            }
            return number
        }
    }

    /// Resets the peak of resident memory that the kernel records: proc(5), `/proc/<pid>/clear_refs`.
    public static func resetPeak(processID: Int32) {
        guard let file = try? FileDescriptor(path: "/proc/\(processID)/clear_refs", for: .writing) else { return }
        [UInt8(ascii: "5")].withUnsafeBytes { try? file.write($0) }
    }

    /// The peak of resident memory since ``resetPeak(processID:)`` or the start of the process, in bytes: `VmHWM` of
    /// `/proc/<pid>/status`.
    public static func peak(processID: Int32) -> Int? {
        let status = file("/proc/\(processID)/status", capacity: 8192).map { String(decoding: $0, as: UTF8.self) }
        let line = status?.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
        return line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int($0) }.map { $0 * 1024 }
    }

    /// Reads a small file of /proc.
    ///
    /// The kernel does not report the size of such a file, so one read of at most `capacity` bytes is made.
    private static func file(_ path: String, capacity: Int = 1024) -> [UInt8]? {
        guard let file = try? FileDescriptor(path: path, for: .reading) else { return nil }
        var buffer = [UInt8](repeating: 0, count: capacity)
        guard case .bytes(let count)? = try? buffer.withUnsafeMutableBytes(file.read(into:)) else { return nil }
        return Array(buffer[..<count])
    }
}
