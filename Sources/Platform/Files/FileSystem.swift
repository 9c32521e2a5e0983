// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Names in the file system.
public enum FileSystem {
    /// Whether `path` exists.
    ///
    /// A symbolic link counts only if its target exists.
    public static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    /// The kinds of things that a path can name.
    public enum Kind: Sendable {
        case file
        case folder
        case symbolicLink
        /// A device, a named pipe or a socket.
        case other
    }

    /// The kind of the thing that `path` names.
    ///
    /// - Parameters:
    ///   - path: absolute, or relative to the working folder.
    ///   - followingLinks: whether a symbolic link stands for its target.
    /// - Returns: never `symbolicLink` if links are followed.
    /// - Throws: the error of stat(2) or lstat(2).
    public static func kind(of path: String, followingLinks: Bool = true) throws(SystemCallError) -> Kind {
        var status = stat()
        guard (followingLinks ? stat(path, &status) : lstat(path, &status)) == 0 else { throw .last("stat") }
        return kind(status)
    }

    static func kind(_ status: stat) -> Kind {
        switch status.st_mode & S_IFMT {
        case S_IFREG: .file
        case S_IFDIR: .folder
        case S_IFLNK: .symbolicLink
        default: .other
        }
    }

    /// Makes one folder, mode 0700.
    ///
    /// A folder that exists stays as it is.
    ///
    /// - Throws: the error of mkdir(2).
    public static func makeFolder(_ path: String) throws(SystemCallError) {
        guard mkdir(path, 0o700) == 0 || errno == EEXIST else { throw .last("mkdir") }
    }

    /// Waits until the names in a folder are on disk.
    ///
    /// - Throws: the error of open(2) or fsync(2).
    public static func syncFolder(_ path: String) throws(SystemCallError) {
        try FileDescriptor(path: path, for: .folder).syncAll()
    }

    /// Renames a file within one file system.
    ///
    /// A file that has the new name is replaced.
    ///
    /// - Throws: the error of rename(2).
    public static func rename(_ from: String, to: String) throws(SystemCallError) {
        guard Glibc.rename(from, to) == 0 else { throw .last("rename") }
    }

    /// Gives a file a second name.
    ///
    /// - Throws: the error of link(2).
    public static func link(_ from: String, to: String) throws(SystemCallError) {
        guard Glibc.link(from, to) == 0 else { throw .last("link") }
    }

    /// Removes a file.
    ///
    /// The call does nothing if the file does not exist.
    ///
    /// - Throws: the error of unlink(2).
    public static func remove(_ path: String) throws(SystemCallError) {
        guard unlink(path) == 0 || errno == ENOENT else { throw .last("unlink") }
    }

    /// Removes a folder if it is empty, and does nothing otherwise.
    public static func removeEmptyFolder(_ path: String) { rmdir(path) }

    /// Size of a file in bytes; `nil` if the file does not exist.
    public static func size(_ path: String) -> Int64? {
        var status = stat()
        return stat(path, &status) == 0 ? Int64(status.st_size) : nil
    }

    /// What a path names, without following a symbolic link.
    public struct Status: Sendable, Equatable {
        /// The kind of the thing.
        public let kind: Kind
        /// Size in bytes.
        public let size: Int64
        /// Time of the last change of the content, in microseconds since 1970.
        public let modified: Int64
        /// Number of names that the file has.
        public let names: Int
        private let device: UInt64
        private let inode: UInt64

        fileprivate init(_ status: stat) {
            kind = FileSystem.kind(status)
            size = Int64(status.st_size)
            modified = Int64(status.st_mtim.tv_sec) * 1_000_000 + Int64(status.st_mtim.tv_nsec) / 1000
            names = Int(status.st_nlink)
            device = UInt64(status.st_dev)
            inode = UInt64(status.st_ino)
        }

        /// Whether two paths name one file.
        public func isSameFile(as other: Status) -> Bool { device == other.device && inode == other.inode }
    }

    /// What `path` names; a symbolic link is not followed.
    ///
    /// - Throws: the error of lstat(2).
    public static func status(_ path: String) throws(SystemCallError) -> Status {
        var status = stat()
        guard lstat(path, &status) == 0 else { throw .last("lstat") }
        return Status(status)
    }

    /// The names in a folder, sorted, without `.` and `..`.
    ///
    /// - Throws: the error of open(2) or readdir(3); a symbolic link to a folder is an error.
    public static func names(in folder: String) throws(SystemCallError) -> [String] {
        let number = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        guard number >= 0 else { throw .last("open") }
        guard let stream = fdopendir(number) else {
            let error = SystemCallError.last("fdopendir")
            close(number)
            throw error
        }
        defer { closedir(stream) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else {
                if errno != 0 { throw .last("readdir") }
                return names.sorted()
            }
            let name = withUnsafePointer(to: &entry.pointee.d_name) { field in
                field.withMemoryRebound(to: CChar.self, capacity: MemoryLayout.size(ofValue: field.pointee)) {
                    String(cString: $0)
                }
            }
            if name != "." && name != ".." { names.append(name) }
        }
    }

    /// The absolute path of `path` with every symbolic link followed.
    ///
    /// - Throws: the error of realpath(3), for instance if the path does not exist.
    public static func resolved(_ path: String) throws(SystemCallError) -> String {
        guard let text = realpath(path, nil) else { throw .last("realpath") }
        defer { free(text) }
        return String(cString: text)
    }

    /// The permissions, for instance `0o600`, of the file that `path` leads to.
    ///
    /// - Throws: the error of stat(2).
    public static func mode(of path: String) throws(SystemCallError) -> UInt32 {
        var status = stat()
        guard stat(path, &status) == 0 else { throw .last("stat") }
        return UInt32(status.st_mode) & 0o7777
    }

    /// Changes the permissions, for instance to `0o700`.
    public static func setMode(_ mode: UInt32, of path: String) { chmod(path, mode) }

    /// Bytes that an unprivileged writer can still use on the file system of `path`.
    ///
    /// - Throws: the error of statvfs(3).
    public static func freeSpace(_ path: String) throws(SystemCallError) -> Int64 {
        var status = statvfs()
        guard statvfs(path, &status) == 0 else { throw .last("statvfs") }
        return Int64(
            clamping: UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize)).partialValue)
    }

    /// Bytes that the file system of `path` has in all, used ones included, without those kept for root.
    ///
    /// - Throws: the error of statvfs(3).
    public static func totalSpace(_ path: String) throws(SystemCallError) -> Int64 {
        var status = statvfs()
        guard statvfs(path, &status) == 0 else { throw .last("statvfs") }
        let blocks = status.f_blocks - (status.f_bfree - status.f_bavail)
        return Int64(clamping: UInt64(blocks).multipliedReportingOverflow(by: UInt64(status.f_frsize)).partialValue)
    }
}
