// SPDX-License-Identifier: Apache-2.0

import Platform
import Foundation

extension WeightStore {
    /// How weights are added.
    public struct AddOptions: Sendable {
        /// What to call them; `nil`: by their network.
        public var name: String?
        /// `nil`: by the tensors' names, and the file's.
        public var family: ModelFamily?
        /// Terms of the weights, where they are not the publisher's.
        public var terms: String?
        /// Whether other weights of the name may give way.
        public var replaces: Bool

        public init(
            name: String? = nil, family: ModelFamily? = nil, terms: String? = nil, replaces: Bool = false
        ) {
            self.name = name
            self.family = family
            self.terms = terms
            self.replaces = replaces
        }
    }

    /// What adding came to.
    public struct Addition: Sendable, Hashable {
        public var weights: InstalledWeights
        /// `PyTorch checkpoint` or `safetensors file`.
        public var format: String
        /// What was assumed, renamed or left out, in sentences.
        public var notes: [String]
        /// The very file was there already under this name, and nothing was done.
        public var wasThere: Bool
        /// The weights that gave way.
        public var replaced: InstalledWeights?
    }

    /// What takes time while weights are added or verified.
    public enum Step: String, Sendable {
        case hashing, converting, verifying
    }

    /// Called with a step, bytes done and bytes in all.
    public typealias Progress = (Step, Int, Int) -> Void

    /// Reads a checkpoint, checks every tensor, and stores it converted. Takes a few megabytes of memory, however large
    /// the checkpoint.
    ///
    /// - Throws: `CheckpointError`, `WeightStoreError`. Damage to a PyTorch checkpoint is found by its checksums.
    public func add(
        _ path: String, _ options: AddOptions = AddOptions(), progress: Progress = { _, _, _ in }
    ) throws -> Addition {
        if let name = options.name, !Self.isName(name) { throw WeightStoreError.badName(name) }
        // Everything that can be wrong with a small part of the file is found before the whole is read.
        let checkpoint = try Checkpoint(path: path)
        let file = URL(fileURLWithPath: path).lastPathComponent
        _ = try RecognisedModel(checkpoint, file: file, sha256: "", asked: options.family)
        var checksums = checkpoint.checksums
        let sha256 = try Self.hash(checkpoint.file) { done, all in
            progress(.hashing, done, all)
        } piece: { bytes throws(CheckpointError) in
            try checksums?.pass(bytes)
        }
        let model = try RecognisedModel(checkpoint, file: file, sha256: sha256, asked: options.family)
        return try changing { () throws in
            let name = options.name ?? model.name
            let existing = try installed().first { $0.name == name }
            if let existing, existing.source.sha256 == sha256, existing.family == model.family,
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
                parameters: model.parameters,
                source: .init(file: file, sha256: sha256, publication: model.publication?.title),
                licence: options.terms ?? Self.terms(of: model), path: "")
            try store(model, of: checkpoint, as: &weights) { progress(.converting, $0, $1) }
            return Addition(
                weights: weights, format: checkpoint.format.rawValue, notes: model.notes, wasThere: false,
                replaced: existing)
        }
    }

    /// Removes weights. Whoever has them open keeps them until it ends.
    ///
    /// - Throws: `WeightStoreError`.
    public func remove(_ name: String) throws -> InstalledWeights {
        let weights = try weights(name)
        try changing { () throws in
            let record = path(name + Self.recordSuffix)
            guard unlink(record) == 0 else { throw WeightStoreError.last("remove", record) }
            try NewFile.syncFolder(of: record)
        }
        return weights
    }

    private static func terms(of model: RecognisedModel) -> String {
        if model.publication != nil { return model.family.publishedTerms }
        if model.architecture.contains(where: \.isNumber) { return "not known: weights of your own" }
        return "\(model.family.publishedTerms) as published; whether these are the published weights is not known"
    }

    // MARK: files

    /// Converts the tensors, then makes weights and record appear in this order.
    private func store(
        _ model: RecognisedModel, of checkpoint: Checkpoint, as weights: inout InstalledWeights,
        progress: (Int, Int) -> Void
    ) throws {
        // Wider numbers first, so that every tensor is aligned.
        let tensors = model.tensors.sorted { ($1.type.storedWidth, $0.name) < ($0.type.storedWidth, $1.name) }
        let columns = tensors.map { tensor in
            SafeTensorsWriter.Tensor(name: tensor.name, type: tensor.type.stored ?? .f32, shape: tensor.shape)
        }
        let total = columns.reduce(0) { $0 + $1.bytes }
        try checkRoom(total)
        let output = try NewFile(path(Self.unfinished))
        var writer = try SafeTensorsWriter(output, columns, metadata: Self.metadata(weights))
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
        try output.settle(as: path(file))
        weights.path = file
        try write(weights)
        weights.path = path(file)
    }

    private static func metadata(_ weights: InstalledWeights) -> [String: String] {
        var metadata = [
            "format": "pt", "kontur.family": weights.family.rawValue, "kontur.architecture": weights.architecture,
            "kontur.source": weights.source.file, "kontur.source_sha256": weights.source.sha256,
            "kontur.terms": weights.licence,
        ]
        metadata["kontur.publication"] = weights.source.publication
        return metadata
    }

    private func write(_ record: InstalledWeights) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        let data = try encoder.encode(record)
        let output = try NewFile(path(Self.unfinished))
        try data.withUnsafeBytesThrowing { bytes throws(WeightStoreError) in try output.write(bytes) }
        try output.settle(as: path(record.name + Self.recordSuffix))
    }

    private func checkRoom(_ bytes: Int) throws(WeightStoreError) {
        var facts = statvfs()
        guard statvfs(folder, &facts) == 0 else { throw .last("look at", folder) }
        let free = UInt64(facts.f_bavail).multipliedReportingOverflow(by: UInt64(facts.f_frsize)).partialValue
        // What the header and the record need, and a little more.
        guard UInt64(bytes) + (16 << 20) <= free else {
            throw .full(path: folder, needed: bytes, free: Int(clamping: free))
        }
    }

    /// Runs `body` while nobody else changes the folder, which is made where it is missing. Files that no record names go
    /// away before and after.
    private func changing<Result>(_ body: () throws -> Result) throws -> Result {
        do {
            try FileManager.default.createDirectory(
                atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch {
            throw WeightStoreError.system(call: "make the folder", path: folder, reason: error.localizedDescription)
        }
        let lock = path(".lock")
        let descriptor = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw WeightStoreError.last("open", lock) }
        defer { close(descriptor) }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else { throw WeightStoreError.busy(folder) }
        try sweep()
        let result = try body()
        try sweep()
        return result
    }

    /// Removes what no record names.
    private func sweep() throws(WeightStoreError) {
        for file in try strays() { unlink(path(file)) }
    }
}

extension NumberType {
    fileprivate var storedWidth: Int { stored?.width ?? 0 }
}
