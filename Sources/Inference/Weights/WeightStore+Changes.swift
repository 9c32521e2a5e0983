// SPDX-License-Identifier: Apache-2.0

import Foundation
import Platform

extension WeightStore {
    /// Options for adding weights.
    public struct AddOptions: Sendable {
        /// The name of the weights; `nil` means the default name of their network.
        public var name: String?
        /// The required family; `nil` means that the names of the tensors and of the file decide.
        public var family: ModelFamily?
        /// Height and width of the network's input if they are not the published ones, pixels.
        public var inputSize: Int?
        /// The terms of the weights if they differ from the publisher's.
        public var terms: String?
        /// Whether the weights may replace others of the same name.
        public var replaces: Bool

        /// Creates options; by default, the checkpoint decides about the name and the family.
        public init(
            name: String? = nil, family: ModelFamily? = nil, inputSize: Int? = nil, terms: String? = nil,
            replaces: Bool = false
        ) {
            self.name = name
            self.family = family
            self.inputSize = inputSize
            self.terms = terms
            self.replaces = replaces
        }
    }

    /// The result of adding weights.
    public struct Addition: Sendable, Hashable {
        /// The weights as they are installed.
        public var weights: InstalledWeights
        /// The format of the checkpoint: `PyTorch checkpoint` or `safetensors file`.
        public var format: String
        /// Sentences about assumptions, renamed tensors and tensors that were left out.
        public var notes: [String]
        /// Whether the same file was already installed under this name; if so, the store did not change.
        public var wasThere: Bool
        /// The weights that were replaced, if any.
        public var replaced: InstalledWeights?
    }

    /// The steps that take time when weights are added or verified.
    public enum Step: String, Sendable {
        case hashing, converting, verifying
    }

    /// A function that receives a step, the number of bytes done, and the total.
    public typealias Progress = (Step, Int, Int) -> Void

    /// Reads a checkpoint, checks every tensor, and stores the converted weights.
    ///
    /// The function takes a few megabytes of memory for a checkpoint of any size. A PyTorch checkpoint that does not
    /// match its stored checksums is refused.
    ///
    /// - Parameters:
    ///   - path: the path of the checkpoint.
    ///   - options: the name, family, input size and terms of the weights.
    ///   - progress: receives the progress of each step.
    /// - Returns: the installed weights, and notes for the operator.
    /// - Throws: `CheckpointError` or `WeightStoreError`.
    public func add(
        _ path: String, _ options: AddOptions = AddOptions(), progress: Progress = { _, _, _ in }
    ) throws -> Addition {
        if let name = options.name, !Self.isName(name) { throw WeightStoreError.badName(name) }
        // All faults that show in a small part of the file are found before the whole file is read.
        let checkpoint = try Checkpoint(path: path)
        let file = URL(fileURLWithPath: path).lastPathComponent
        _ = try RecognisedModel(
            checkpoint, file: file, sha256: "", asked: options.family, inputSize: options.inputSize)
        var checksums = checkpoint.checksums
        let sha256 = try Self.hash(checkpoint.file) { done, all in
            progress(.hashing, done, all)
        } piece: { bytes throws(CheckpointError) in
            try checksums?.pass(bytes)
        }
        let model = try RecognisedModel(
            checkpoint, file: file, sha256: sha256, asked: options.family, inputSize: options.inputSize)
        return try changing { () throws in
            let name = options.name ?? model.name
            let existing = try installed().first { $0.name == name }
            if let existing, existing.source.sha256 == sha256, existing.family == model.family,
                existing.inputSize == model.settings.inputSize,
                FileManager.default.fileExists(atPath: existing.path)
            {
                return Addition(
                    weights: existing, format: checkpoint.format.rawValue, notes: model.notes, wasThere: true)
            }
            if let existing, !options.replaces {
                throw WeightStoreError.nameTaken(name, family: existing.family, source: existing.source.file)
            }
            var weights = InstalledWeights(
                name: name, family: model.family, architecture: model.architecture, sha256: "", bytes: 0,
                parameters: model.parameters, inputSize: model.settings.inputSize,
                source: .init(file: file, sha256: sha256, publication: model.publication?.title),
                licence: options.terms ?? Self.terms(of: model), path: "")
            try store(model, of: checkpoint, as: &weights) { progress(.converting, $0, $1) }
            return Addition(
                weights: weights, format: checkpoint.format.rawValue, notes: model.notes, wasThere: false,
                replaced: existing)
        }
    }

    /// Removes weights.
    ///
    /// A process that has them open keeps them until it closes them.
    ///
    /// - Parameter name: the name of the weights.
    /// - Returns: the record of the removed weights.
    /// - Throws: `WeightStoreError`.
    public func remove(_ name: String) throws -> InstalledWeights {
        let weights = try weights(name)
        try changing { () throws in
            let record = path(name + Self.recordSuffix)
            try WeightStoreError.wrap("remove", record) { () throws(SystemCallError) in
                try FileSystem.remove(record)
                try FileSystem.syncFolder(folder)
            }
        }
        return weights
    }

    /// The terms as the stored file records them; another text would change the hash of the stored file.
    private static func terms(of model: RecognisedModel) -> String {
        if model.publication != nil { return model.family.publishedTerms }
        if !model.isOfPublishedSize { return "not known: weights of your own" }
        return "\(model.family.publishedTerms) as published; whether these are the published weights is not known"
    }

    // MARK: files

    /// Converts the tensors, then gives first the weights and then the record their names.
    private func store(
        _ model: RecognisedModel, of checkpoint: Checkpoint, as weights: inout InstalledWeights,
        progress: (Int, Int) -> Void
    ) throws {
        // Tensors with wider numbers come first, so that every tensor is aligned.
        let tensors = model.tensors.sorted { ($1.type.storedWidth, $0.name) < ($0.type.storedWidth, $1.name) }
        let columns = tensors.map { tensor in
            SafeTensorsWriter.WrittenTensor(name: tensor.name, type: tensor.type.stored ?? .f32, shape: tensor.shape)
        }
        let total = columns.reduce(0) { $0 + $1.bytes }
        try checkRoom(total)
        let output = try NewWeightFile(path(Self.unfinished))
        var writer = try SafeTensorsWriter(output, columns, metadata: Self.metadata(weights, model.settings))
        let reader = TensorReader(file: checkpoint.file)
        var done = 0
        for tensor in tensors {
            try reader.read(tensor) { bytes in
                try writer.append(bytes)
                done += bytes.count
                progress(done, total)
            }
        }
        guard checkpoint.file.isUnchanged else { throw WeightStoreError.changing(path: weights.source.file) }
        (weights.sha256, weights.bytes) = (writer.finish(), writer.size)
        let file = "\(weights.name)-\(weights.sha256.prefix(16)).safetensors"
        try output.finish(as: path(file))
        weights.path = file
        try write(weights)
        weights.path = path(file)
    }

    private static func metadata(_ weights: InstalledWeights, _ settings: NetworkSettings) -> [String: String] {
        var metadata = settings.metadata
        metadata.merge([
            "format": "pt", "kontur.family": weights.family.rawValue, "kontur.architecture": weights.architecture,
            "kontur.source": weights.source.file, "kontur.source_sha256": weights.source.sha256,
            "kontur.terms": weights.licence,
        ]) { _, stored in stored }
        metadata["kontur.publication"] = weights.source.publication
        return metadata
    }

    private func write(_ record: InstalledWeights) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        let data = try encoder.encode(record)
        let output = try NewWeightFile(path(Self.unfinished))
        try output.write(data)
        try output.finish(as: path(record.name + Self.recordSuffix))
    }

    private func checkRoom(_ bytes: Int) throws(WeightStoreError) {
        let free = try WeightStoreError.wrap("find the free space of", folder) { () throws(SystemCallError) in
            try FileSystem.freeSpace(folder)
        }
        // 16 MiB cover the header and the record.
        guard Int64(bytes) + (16 << 20) <= free else {
            throw .full(path: folder, needed: bytes, free: Int(free))
        }
    }

    /// Runs `body` while this process holds the lock of the folder.
    ///
    /// The folder is created if it is missing. Files that no record names are removed before and
    /// after.
    private func changing<Result>(_ body: () throws -> Result) throws -> Result {
        do {
            try FileManager.default.createDirectory(
                atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch {
            throw WeightStoreError.system(call: "make the folder", path: folder, reason: error.localizedDescription)
        }
        let lock = path(".lock")
        let held: FileLock
        do throws(FileLock.Failure) {
            held = try FileLock(path: lock, holder: "process \(ProcessInfo.processInfo.processIdentifier)")
        } catch {
            switch error {
            case .held: throw WeightStoreError.busy(folder)
            case .failing(let error): throw WeightStoreError.system(call: "lock", path: lock, reason: error.reason)
            }
        }
        return try withExtendedLifetime(held) {
            try sweep()
            let result = try body()
            try sweep()
            return result
        }
    }

    /// Removes the files that no record names.
    private func sweep() throws(WeightStoreError) {
        for file in try strays() { try? FileSystem.remove(path(file)) }
    }
}

extension NumberType {
    fileprivate var storedWidth: Int { stored?.width ?? 0 }
}

/// A file of the store that gets its name when all of it is on disk.
///
/// This is Platform's `AtomicFile` with the errors of the store.
struct NewWeightFile {
    private let file: AtomicFile

    /// Creates the file under a temporary name, which replaces the remains of an earlier attempt.
    init(_ path: String) throws(WeightStoreError) {
        file = try WeightStoreError.wrap("create", path) { () throws(SystemCallError) in
            try AtomicFile(temporaryPath: path)
        }
    }

    /// Appends bytes.
    func write(_ bytes: UnsafeRawBufferPointer) throws(WeightStoreError) {
        try WeightStoreError.wrap("write", file.path) { () throws(SystemCallError) in try file.write(bytes) }
    }

    /// Appends the bytes of `data`.
    func write(_ data: Data) throws(WeightStoreError) {
        try WeightStoreError.wrap("write", file.path) { () throws(SystemCallError) in try file.write([UInt8](data)) }
    }

    /// Waits until everything is on disk, then gives the file its name in the same folder.
    func finish(as name: String) throws(WeightStoreError) {
        try WeightStoreError.wrap("finish", name) { () throws(SystemCallError) in try file.finish(as: name) }
    }
}

extension WeightStoreError {
    /// Runs `body` and turns its error into one that names the step and the file.
    fileprivate static func wrap<Result>(
        _ call: String, _ path: String, _ body: () throws(SystemCallError) -> Result
    ) throws(WeightStoreError) -> Result {
        do throws(SystemCallError) {
            return try body()
        } catch {
            throw .system(call: call, path: path, reason: error.reason)
        }
    }
}
