// SPDX-License-Identifier: Apache-2.0

import Foundation
import Platform
import Testing

@Suite struct FileTests {
    private func withFolder(_ body: (String) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "kontur-files-\(UUID().uuidString)").path
        try FileSystem.makeFolder(folder)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try body(folder)
    }

    @Test func `an atomic file has its name only when it is finished`() throws {
        try withFolder { folder in
            let path = folder + "/kept"
            do {
                let abandoned = try AtomicFile(temporaryPath: path + ".new")
                try abandoned.write([1, 2, 3])
            }
            #expect(!FileSystem.exists(path + ".new") && !FileSystem.exists(path))
            let file = try AtomicFile(temporaryPath: path + ".new")
            try file.write([4, 5])
            try file.write([6])
            #expect(!FileSystem.exists(path))
            try file.finish(as: path)
            #expect(!FileSystem.exists(path + ".new"))
            #expect(FileManager.default.contents(atPath: path) == Data([4, 5, 6]))
            let attributes = try FileManager.default.attributesOfItem(atPath: path)
            #expect(attributes[.posixPermissions] as? Int == 0o600)
        }
    }

    @Test func `a size is that of an existing file, and only an empty folder is removed`() throws {
        try withFolder { folder in
            #expect(FileSystem.size(folder + "/file") == nil)
            try Data([1, 2, 3]).write(to: URL(fileURLWithPath: folder + "/file"))
            #expect(FileSystem.size(folder + "/file") == 3)
            FileSystem.removeEmptyFolder(folder)
            #expect(FileSystem.exists(folder + "/file"))
            try FileSystem.remove(folder + "/file")
            FileSystem.removeEmptyFolder(folder)
            #expect(!FileSystem.exists(folder))
        }
    }

    @Test func `tells files, folders and links apart`() throws {
        try withFolder { folder in
            try Data().write(to: URL(fileURLWithPath: folder + "/file"))
            try FileManager.default.createSymbolicLink(atPath: folder + "/link", withDestinationPath: folder)
            #expect(try FileSystem.kind(of: folder) == .folder)
            #expect(try FileSystem.kind(of: folder + "/file") == .file)
            #expect(try FileSystem.kind(of: folder + "/link") == .folder)
            #expect(try FileSystem.kind(of: folder + "/link", followingLinks: false) == .symbolicLink)
            #expect(try FileSystem.kind(of: "/dev/null") == .other)
            let error = #expect(throws: SystemCallError.self) { try FileSystem.kind(of: folder + "/nothing") }
            #expect(error?.isMissing == true)
        }
    }

    @Test func `an atomic file does not follow a symbolic link`() throws {
        try withFolder { folder in
            let victim = folder + "/victim"
            try Data("kept".utf8).write(to: URL(fileURLWithPath: victim))
            try FileManager.default.createSymbolicLink(atPath: folder + "/new", withDestinationPath: victim)
            let file = try AtomicFile(temporaryPath: folder + "/new")
            try file.write([1])
            try file.finish(as: folder + "/done")
            #expect(FileManager.default.contents(atPath: victim) == Data("kept".utf8))
        }
    }

    @Test func `a mapped file shows its bytes, also after their pages were released`() throws {
        try withFolder { folder in
            let bytes = (0..<20_000).map { UInt8(truncatingIfNeeded: $0 / 7) }
            let path = folder + "/bytes"
            try Data(bytes).write(to: URL(fileURLWithPath: path))
            let file = try MappedFile(path: path)
            #expect(Array(file.bytes) == bytes)
            file.release(0..<20_000)
            #expect(Array(file.bytes) == bytes)
            try Data().write(to: URL(fileURLWithPath: folder + "/empty"))
            #expect(try MappedFile(path: folder + "/empty").bytes.isEmpty)
        }
    }

    @Test func `a folder or a missing file is not mapped`() throws {
        try withFolder { folder in
            #expect { try MappedFile(path: folder) } throws: { "\($0)" == "it is not a regular file" }
            #expect { try MappedFile(path: folder + "/no") } throws: { "\($0)" == "No such file or directory" }
        }
    }

    @Test func `a lock is held once, says who holds it, and ends with its owner`() throws {
        try withFolder { folder in
            let path = folder + "/lock"
            #expect(FileLock.holder(path: path) == nil)
            var lock: FileLock? = try FileLock(path: path, holder: "the first")
            #expect(FileLock.holder(path: path) == "the first")
            #expect(throws: FileLock.Failure.held(holder: "the first")) { try FileLock(path: path, holder: "second") }
            _ = lock
            lock = nil
            #expect(FileLock.holder(path: path) == nil)
            _ = try FileLock(path: path, holder: "second")
        }
    }

    @Test func `a pipe that does not block tells that it is empty, and its end`() throws {
        let (reader, writer) = try FileDescriptor.pipe()
        reader.setNonblocking()
        var buffer = [UInt8](repeating: 0, count: 8)
        func read() throws -> FileDescriptor.ReadResult {
            try buffer.withUnsafeMutableBytes { try reader.read(into: $0) }
        }
        #expect(try read() == .wouldBlock)
        try [UInt8]([7, 8]).withUnsafeBytes { try writer.write($0) }
        var entries = [PollEntry(-1, reading: true), PollEntry(reader.number, reading: true)]
        #expect(Polling.wait(&entries, atMost: .seconds(5)))
        #expect(!entries[0].isReady && entries[1].isReady)
        #expect(try read() == .bytes(2))
        #expect(!Polling.wait(&entries, atMost: .zero))
        #expect(!entries[1].isReady)
    }

    @Test func `a ring wakes the next wait, once`() throws {
        let bell = try WakeUp()
        bell.ring()
        bell.ring()
        var entries = [PollEntry(bell.descriptor, reading: true)]
        #expect(Polling.wait(&entries, atMost: nil))
        bell.clear()
        #expect(!Polling.wait(&entries, atMost: .milliseconds(10)))
    }

    @Test func `errors tell the call and the reason`() {
        #expect { try FileDescriptor(path: "/no/such/file", for: .reading) } throws: {
            "\($0)" == "open failed: No such file or directory"
        }
        #expect(SystemCallError(call: "write", code: ENOSPC).isFull)
    }

    @Test func `reads at an offset, up to the end of the file`() throws {
        try withFolder { folder in
            let path = folder + "/bytes"
            try Data([1, 2, 3, 4, 5]).write(to: URL(fileURLWithPath: path))
            let file = try FileDescriptor(path: path, for: .reading)
            var bytes = [UInt8](repeating: 0, count: 3)
            #expect(try bytes.withUnsafeMutableBytes { try file.fill($0, at: 1) } == 3)
            #expect(bytes == [2, 3, 4])
            #expect(try bytes.withUnsafeMutableBytes { try file.fill($0, at: 4) } == 1)
            #expect(bytes == [5, 3, 4])
            #expect(try bytes.withUnsafeMutableBytes { try file.fill($0, at: 9) } == 0)
        }
    }

    @Test func `an identity changes with the bytes of the file and tells files apart`() throws {
        try withFolder { folder in
            let path = folder + "/a"
            try Data([1]).write(to: URL(fileURLWithPath: path))
            try Data([1]).write(to: URL(fileURLWithPath: folder + "/b"))
            let file = try FileDescriptor(path: path, for: .reading)
            let before = try file.identity()
            #expect(before.size == 1 && before.isRegularFile)
            #expect(try file.identity() == before)
            #expect(try FileDescriptor(path: path, for: .reading).identity() == before)
            #expect(try FileDescriptor(path: folder + "/b", for: .reading).identity() != before)
            let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
            try handle.seekToEnd()
            try handle.write(contentsOf: Data([2]))
            try handle.close()
            #expect(try file.identity() != before)
            #expect(try FileDescriptor(path: folder, for: .folder).identity().isRegularFile == false)
        }
    }

    @Test func `a walk finds the names of a folder in their order, and does not follow links`() throws {
        try withFolder { folder in
            for name in ["b", "a"] { try Data([1]).write(to: URL(fileURLWithPath: folder + "/" + name)) }
            symlink(folder, folder + "/link")
            try FileSystem.link(folder + "/a", to: folder + "/c")
            #expect(try FileSystem.names(in: folder) == ["a", "b", "c", "link"])
            #expect(throws: SystemCallError.self) { try FileSystem.names(in: folder + "/link") }
            #expect(try FileSystem.status(folder + "/link").kind == .symbolicLink)
            let (a, b, c) = try (
                FileSystem.status(folder + "/a"), FileSystem.status(folder + "/b"), FileSystem.status(folder + "/c")
            )
            #expect(a.isSameFile(as: c) && !a.isSameFile(as: b) && a.names == 2 && b.names == 1)
            #expect(throws: SystemCallError.self) {
                try FileDescriptor(path: folder + "/link", for: .readingWithoutLinks)
            }
            #expect(try FileSystem.resolved(folder + "/link") == FileSystem.resolved(folder))
        }
    }
}
