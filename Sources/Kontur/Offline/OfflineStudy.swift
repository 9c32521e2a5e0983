// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Imaging
import Logging
import Platform
import Routing
import Supervision

/// The stacks in files, read without a node.
///
/// A worker reads the files, because they may be hostile.
struct OfflineStudy {
    var stacks: [Stack] = []
    var files: [FileOutcome] = []
    /// PNG and JPEG files that the command line names.
    private(set) var pictures: [String] = []
    /// Absolute paths, by SOP Instance UID.
    private(set) var paths: [String: String] = [:]
    private(set) var imageDigests: [String: String] = [:]

    /// Reads the files.
    ///
    /// - Parameters:
    ///   - paths: files and folders, as the command line names them.
    ///   - pool: the workers that read DICOM files.
    ///   - progress: shows the number of files read.
    init(reading paths: [String], with pool: WorkerPool, progress: ProgressLine) async {
        let collection = FileCollection(paths: paths)
        files = collection.refused.map { FileOutcome(path: $0.path, outcome: .quarantined, reason: $0.reason) }
        var headers: [InstanceHeader] = []
        for (index, file) in collection.files.enumerated() {
            progress.show("reading \(index + 1) of \(collection.files.count) files")
            let absolute = URL(fileURLWithPath: file.path).standardizedFileURL.path
            if let format = PictureFormat(ofFile: absolute) {
                if file.isNamed {
                    pictures.append(file.path)
                } else {
                    let reason = "a \(format.rawValue) picture; name the file itself to segment it"
                    files.append(FileOutcome(path: file.path, outcome: .picture, reason: reason))
                }
                continue
            }
            switch await Self.index(absolute, with: pool) {
            case .success((let header, let imageDigest)):
                take(header, imageDigest: imageDigest, file: file.path, absolute: absolute, into: &headers)
            case .failure(let refusal):
                let outcome: FileOutcome.Kind =
                    file.isNamed || Self.claimsToBeDICOM(absolute) ? .quarantined : .passedOver
                files.append(FileOutcome(path: file.path, outcome: outcome, reason: refusal.reason))
            }
        }
        progress.clear()
        stacks = Stack.stacks(of: headers)
    }

    private mutating func take(
        _ header: InstanceHeader, imageDigest: String, file: String, absolute: String,
        into headers: inout [InstanceHeader]
    ) {
        if header.namesKontur {
            files.append(FileOutcome(path: file, outcome: .own, reason: "Kontur does not segment its own objects"))
        } else if case .notAnImage(let reason) = header.kind {
            files.append(FileOutcome(path: file, outcome: .notAnImage, reason: reason))
        } else if let first = paths[header.sopInstanceUID] {
            let same = imageDigests[header.sopInstanceUID] == imageDigest ? "the same" : "a different"
            files.append(
                FileOutcome(
                    path: file, outcome: .duplicate,
                    reason:
                        "\(same) image with the SOP Instance UID of \(URL(fileURLWithPath: first).lastPathComponent)"))
        } else {
            paths[header.sopInstanceUID] = absolute
            imageDigests[header.sopInstanceUID] = imageDigest
            headers.append(header)
        }
    }

    /// Whether the file has the prefix of PS3.10 7.1 or the extension of a DICOM file.
    private static func claimsToBeDICOM(_ path: String) -> Bool {
        if ["dcm", "dicom", "ima"].contains(URL(fileURLWithPath: path).pathExtension.lowercased()) { return true }
        guard let file = FileHandle(forReadingAtPath: path) else { return true }
        defer { try? file.close() }
        let start = (try? file.read(upToCount: 132)) ?? Data()
        return start.count == 132 && start.suffix(4) == Data("DICM".utf8)
    }

    private static func index(
        _ path: String, with pool: WorkerPool
    ) async -> Result<(InstanceHeader, imageDigest: String), WorkFailure> {
        do {
            switch try await pool.perform(.index(request: IndexRequest(path: path))) {
            case .response(.indexed(let header, let imageDigest, _)): return .success((header, imageDigest))
            case let other: return .failure(WorkFailure(other))
            }
        } catch {
            return .failure(WorkFailure(reason: "\(error)"))
        }
    }
}

/// A failure of a worker, in words.
struct WorkFailure: Error {
    var reason: String
    /// Whether the segmenter cannot run on the input.
    var isUnfit = false

    init(reason: String) { self.reason = reason }

    init(_ result: WorkResult) {
        switch result {
        case .response(.unfit(let reason)):
            self.reason = reason
            isUnfit = true
        case .response(.quarantine(let reason)), .response(.failed(let reason)), .response(.hindered(let reason)):
            self.reason = reason
        case .response(.indexed), .response(.compared), .response(.segmented):
            reason = "the worker answered another request"
        case .workerDied(let death): reason = "\(death)"
        case .overran(let overrun): reason = "the worker was stopped because it used too much \(overrun.inWords)"
        case .notStarted(let error): reason = "could not start a worker: \(error)"
        case .stopped: reason = "stopped"
        }
    }
}

extension Overrun {
    var inWords: String {
        switch self {
        case .memory: "memory"
        case .silence: "time without progress"
        case .processorTime: "processor time"
        }
    }
}

extension WorkerPool {
    /// Makes a pool that segments `workers` stacks at once.
    ///
    /// The command must shut it down.
    static func forCommand(workers: Int = 1) -> WorkerPool {
        let logger = Logger(label: "kontur") { LogfmtHandler(label: $0, level: .error) }
        return WorkerPool(
            configuration: WorkerPoolConfiguration(
                executable: CurrentProcess.executable, segmentWorkers: workers), logger: logger)
    }
}
