// SPDX-License-Identifier: Apache-2.0
//
// The folders and files of a spool as they are found on disk. Names that Kontur did not make are left alone, and
// symbolic links are not followed.

import Foundation
import Platform

extension Spool {
    /// The error that stands for a symbolic link, or something else, in the place of a folder.
    static let link = SystemCallError(call: "open", code: SystemCallError.notAFolder)

    /// Whether a stored path names a folder; `false` if it does not exist.
    ///
    /// - Throws: ``link`` if the path names anything else, and the errors of the disk.
    func isFolder(_ stored: String) throws(SystemCallError) -> Bool {
        let status: FileSystem.Status
        do throws(SystemCallError) { status = try FileSystem.status(absolute(stored)) } catch {
            if error.isMissing { return false }
            throw error
        }
        guard status.kind == .folder else { throw Self.link }
        return true
    }

    /// The folders on the way to a stored path.
    enum Way {
        /// All of them are folders of the spool.
        case clear
        /// One of them does not exist, so that the file does not exist either.
        case absent
        /// One of them is a symbolic link or a file, or cannot be examined.
        case blocked
    }

    /// Examines the folders on the way to a stored path.
    func way(to stored: String) -> Way {
        var folder = ""
        do throws(SystemCallError) {
            for part in stored.split(separator: "/").dropLast() {
                folder += (folder.isEmpty ? "" : "/") + part
                guard try isFolder(folder) else { return .absent }
            }
            return .clear
        } catch {
            return .blocked
        }
    }

    /// Whether a stored path leads through folders of the spool alone, and not through links out of it.
    func isInside(_ stored: String) -> Bool { way(to: stored) == .clear }

    /// Removes a file that no row names, unless it lies behind a symbolic link.
    ///
    /// - Returns: whether the file is gone.
    @discardableResult
    public func discard(_ stored: String) -> Bool {
        switch way(to: stored) {
        case .clear: (try? calls.remove(absolute(stored))) != nil
        case .absent: true
        case .blocked: false
        }
    }

    // MARK: - Names

    /// Whether Kontur gives files of the spool such names: a UUID and `.dcm`.
    static func isFileName(_ name: String) -> Bool {
        name.count == 40 && name.hasSuffix(".dcm") && UUID(uuidString: String(name.prefix(36))) != nil
    }

    /// Whether Kontur gives folders such names: yyyy-mm-dd, or hh.
    private static func isFolderName(_ name: String, hours: Bool) -> Bool {
        let form = hours ? "00" : "0000-00-00"
        return name.utf8.count == form.utf8.count
            && zip(name.utf8, form.utf8).allSatisfy { found, expected in
                expected == UInt8(ascii: "-") ? found == expected : (48...57).contains(found)
            }
    }

    /// Whether workers give files in `work/` such names: a run's objects, and what a worker prints.
    private static func isWorkName(_ name: String) -> Bool {
        if name.hasPrefix("worker-") && name.hasSuffix(".txt") { return true }
        return name.count > 36 && name.hasSuffix(".dcm") && UUID(uuidString: String(name.prefix(36))) != nil
    }

    // MARK: - Walking

    /// The folders of the spool as found on disk.
    struct Survey {
        /// The folders that hold files, relative: hours of `instances/`, days of `quarantine/` and `derived/`.
        var folders: [String] = []
        /// Number of files and folders that Kontur did not make.
        var strays = 0
        /// Symbolic links and files in the place of folders, relative.
        var links: [String] = []
        /// Folders that could not be read, relative, with the error.
        var unreadable: [(folder: String, error: SystemCallError)] = []
    }

    /// Finds the folders that hold files; a folder that cannot be read does not hide the others.
    func survey() -> Survey {
        var survey = Survey()
        for kind in [Folder.instances, .quarantine, .derived] {
            let days = folders(in: kind.rawValue, hours: false, &survey)
            survey.folders += kind == .instances ? days.flatMap { folders(in: $0, hours: true, &survey) } : days
        }
        return survey
    }

    private func folders(in parent: String, hours: Bool, _ survey: inout Survey) -> [String] {
        var found: [String] = []
        do throws(SystemCallError) {
            for name in try patiently({ () throws(SystemCallError) in try calls.names(absolute(parent)) }) {
                let path = parent + "/" + name
                guard Self.isFolderName(name, hours: hours) else {
                    survey.strays += 1
                    continue
                }
                if let status = try? calls.status(absolute(path)), status.kind != .folder {
                    survey.links.append(path)
                } else {
                    found.append(path)
                }
            }
        } catch {
            if error == Self.link { survey.links.append(parent) } else { survey.unreadable.append((parent, error)) }
        }
        return found
    }

    /// The folders that hold files, relative: hours of `instances/`, days of `quarantine/` and `derived/`.
    func fileFolders() throws -> [String] { survey().folders }

    /// Removes the files that workers of an earlier start left in `work/`.
    func emptyWork() {
        let work = Folder.work.rawValue
        guard (try? isFolder(work)) == true, let names = try? calls.names(workPath) else { return }
        for name in names where Self.isWorkName(name) { try? calls.remove(workPath + "/" + name) }
    }

    /// Tries a call on the disk again if it fails, because a disk may fail once.
    ///
    /// - Throws: the last error; at once if the file does not exist.
    func patiently<Result>(_ body: () throws(SystemCallError) -> Result) throws(SystemCallError) -> Result {
        var failures = 0
        while true {
            do throws(SystemCallError) { return try body() } catch {
                failures += 1
                if error.isMissing || error == Self.link || failures == 4 { throw error }
                Thread.sleep(forTimeInterval: 0.05 * Double(failures))
            }
        }
    }
}
