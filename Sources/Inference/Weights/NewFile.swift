// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A file that is written under one name and takes its own when all of it is on disk, mode 0600; otherwise it goes away.
final class NewFile {
    private let path: String
    private let descriptor: Int32
    private var isSettled = false

    /// - Parameter path: the name for the time being; a file that is left of an earlier attempt is replaced.
    init(_ path: String) throws(WeightStoreError) {
        self.path = path
        unlink(path)
        descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw .last("create", path) }
    }

    deinit {
        close(descriptor)
        if !isSettled { unlink(path) }
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws(WeightStoreError) {
        var rest = bytes
        while let base = rest.baseAddress, !rest.isEmpty {
            let written = Glibc.write(descriptor, base, rest.count)
            if written < 0 && errno == EINTR { continue }
            guard written > 0 else { throw .last("write", path) }
            rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(written))
        }
    }

    /// Waits until everything is on disk, then gives the file its name, in the same folder.
    func settle(as name: String) throws(WeightStoreError) {
        guard fsync(descriptor) == 0 else { throw .last("write", path) }
        guard rename(path, name) == 0 else { throw .last("rename", path) }
        isSettled = true
        try Self.syncFolder(of: name)
    }

    /// Waits until the names in the folder of `path` are on disk.
    static func syncFolder(of path: String) throws(WeightStoreError) {
        let folder = URL(fileURLWithPath: path).deletingLastPathComponent().path
        let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .last("open", folder) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw .last("write", folder) }
    }
}

extension WeightStoreError {
    /// The system call that just failed.
    static func last(_ call: String, _ path: String) -> WeightStoreError {
        .system(call: call, path: path, reason: String(cString: strerror(errno)))
    }
}

extension Data {
    /// `withUnsafeBytes` for a body with a typed error.
    func withUnsafeBytesThrowing<Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Void
    ) throws(Failure) {
        let outcome = withUnsafeBytes { bytes -> Swift.Result<Void, Failure> in
            do throws(Failure) { return .success(try body(bytes)) } catch { return .failure(error) }
        }
        try outcome.get()
    }
}
