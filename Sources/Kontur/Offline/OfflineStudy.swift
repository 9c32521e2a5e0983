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
    /// An instance in a file.
    struct Instance {
        /// Absolute path of ASCII characters that opens the file.
        var path: String
        /// The path as the command line names it, for people.
        var named: String
        var imageDigest: String
        /// The digests of attributes by keyword.
        var attributes: [String: String]
    }

    /// A series whose instances name two patients.
    struct MixedSeries {
        var seriesInstanceUID: String
        var modality: String?
        var instances: Int
        var conflict: PatientConflict
    }

    private struct SeriesKey: Hashable {
        var studyInstanceUID: String
        var seriesInstanceUID: String

        init(_ header: InstanceHeader) {
            studyInstanceUID = header.studyInstanceUID
            seriesInstanceUID = header.seriesInstanceUID
        }
    }

    private struct InstanceKey: Hashable {
        var series: SeriesKey
        var sopInstanceUID: String

        init(_ header: InstanceHeader) {
            series = SeriesKey(header)
            sopInstanceUID = header.sopInstanceUID
        }
    }

    private(set) var stacks: [Stack] = []
    /// Series that are not segmented, because one SEG cannot name two patients.
    private(set) var mixed: [MixedSeries] = []
    private(set) var files: [FileOutcome] = []
    /// PNG and JPEG files that the command line names.
    private(set) var pictures: [FileCollection.CollectedFile] = []
    private var instances: [InstanceKey: Instance] = [:]
    /// The attributes of every file of a series, also of those that repeat an instance.
    private var attributes: [SeriesKey: [[String: String]]] = [:]

    /// The instance with this header.
    subscript(header: InstanceHeader) -> Instance? { instances[InstanceKey(header)] }

    /// The absolute paths of a stack, by SOP Instance UID.
    func paths(of stack: Stack) -> [String: String] {
        var paths: [String: String] = [:]
        for header in stack.instances { paths[header.sopInstanceUID] = self[header]?.path }
        return paths
    }

    /// The number of series that are set aside and the reason for the first; `nil` if there are none.
    var conflict: String? {
        mixed.first.map { "\(mixed.count) series set aside: \($0.conflict)" }
    }

    /// Reads the files.
    ///
    /// - Parameters:
    ///   - paths: files and folders, as the command line names them.
    ///   - pool: the workers that read DICOM files.
    ///   - progress: shows the number of files read.
    init(reading paths: [String], with pool: WorkerPool, progress: ProgressLine) async {
        let collection = FileCollection(paths: paths)
        files = collection.others
        var headers: [InstanceHeader] = []
        for (index, file) in collection.files.enumerated() {
            progress.show("reading \(index + 1) of \(collection.files.count) files")
            let notAnInstance: FileOutcome.Kind = file.isNamed ? .quarantined : .passedOver
            if let format = PictureFormat(ofFile: file.readable) {
                if file.isNamed {
                    pictures.append(file)
                } else {
                    let reason = "a \(format.rawValue) picture; name the file itself to segment it"
                    files.append(FileOutcome(path: file.path, outcome: .picture, reason: reason))
                }
                continue
            }
            if let reason = ForeignFile.reason(file.readable) {
                files.append(FileOutcome(path: file.path, outcome: notAnInstance, reason: reason))
                continue
            }
            if ForeignFile.isDirectory(file.readable) {
                files.append(FileOutcome(path: file.path, outcome: .notAnImage, reason: ForeignFile.directory))
                continue
            }
            switch await Self.index(file.readable, with: pool) {
            case .success((let header, let imageDigest, let attributes)):
                let instance = Instance(
                    path: file.readable, named: file.path, imageDigest: imageDigest, attributes: attributes)
                take(header, instance, into: &headers)
            case .failure(let refusal):
                let claims = Self.claimsToBeDICOM(file)
                files.append(
                    FileOutcome(
                        path: file.path, outcome: claims ? .quarantined : notAnInstance, reason: refusal.reason))
            }
        }
        progress.clear()
        stacks = Stack.stacks(of: separateMixed(headers))
    }

    /// Moves series whose instances name two patients to ``mixed``.
    ///
    /// - Returns: the headers of the other series.
    private mutating func separateMixed(_ headers: [InstanceHeader]) -> [InstanceHeader] {
        let conflicts = attributes.compactMapValues { instances in
            PatientConflict(instances, hash: SourceAttributes.digest(ofValue:))
        }
        for (key, members) in Dictionary(grouping: headers, by: SeriesKey.init) {
            guard let conflict = conflicts[key] else { continue }
            mixed.append(
                MixedSeries(
                    seriesInstanceUID: key.seriesInstanceUID, modality: members[0].modality, instances: members.count,
                    conflict: conflict))
        }
        mixed.sort { $0.seriesInstanceUID < $1.seriesInstanceUID }
        return headers.filter { conflicts[SeriesKey($0)] == nil }
    }

    private mutating func take(
        _ header: InstanceHeader, _ instance: Instance, into headers: inout [InstanceHeader]
    ) {
        let file = instance.named
        if header.namesKontur {
            files.append(FileOutcome(path: file, outcome: .own, reason: "Kontur does not segment its own objects"))
        } else if case .notAnImage(let reason) = header.kind {
            files.append(FileOutcome(path: file, outcome: .notAnImage, reason: reason))
        } else if let first = self[header] {
            attributes[SeriesKey(header), default: []].append(instance.attributes)
            let same = first.imageDigest == instance.imageDigest ? "the same" : "a different"
            files.append(
                FileOutcome(
                    path: file, outcome: .duplicate,
                    reason:
                        "\(same) image with the SOP Instance UID of "
                        + URL(fileURLWithPath: first.named).lastPathComponent))
        } else {
            instances[InstanceKey(header)] = instance
            attributes[SeriesKey(header), default: []].append(instance.attributes)
            headers.append(header)
        }
    }

    /// Whether the file has the prefix of PS3.10 7.1 or the extension of a DICOM file.
    private static func claimsToBeDICOM(_ collected: FileCollection.CollectedFile) -> Bool {
        let ending = URL(fileURLWithPath: collected.path).pathExtension.lowercased()
        if ["dcm", "dicom", "ima"].contains(ending) { return true }
        guard let file = FileHandle(forReadingAtPath: collected.readable) else { return true }
        defer { try? file.close() }
        let start = (try? file.read(upToCount: 132)) ?? Data()
        return start.count == 132 && start.suffix(4) == Data("DICM".utf8)
    }

    private static func index(
        _ path: String, with pool: WorkerPool
    ) async -> Result<(InstanceHeader, imageDigest: String, attributes: [String: String]), WorkFailure> {
        do {
            switch try await pool.perform(.index(request: IndexRequest(path: path))) {
            case .response(.indexed(let header, _, let imageDigest, let attributes)):
                return .success(
                    (try StoredHeader.header(encoded: header.encoded), imageDigest, attributes.values))
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
