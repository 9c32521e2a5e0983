// SPDX-License-Identifier: Apache-2.0

import Platform

/// A PyTorch checkpoint: a zip archive with one folder of any name.
///
/// The folder contains `data.pkl`, the pickle, and `data/<key>`, the numbers of each storage.
struct TorchArchive {
    /// The tensors of the model, and the names of the entries beside it.
    struct Model {
        var tensors: [CheckpointTensor]
        var beside: [String]
    }

    /// The content of the pickle.
    let model: Model
    /// The entries of the archive.
    let archive: ZipArchive

    /// Reads the pickle of a checkpoint and finds its tensors in the file.
    ///
    /// - Parameter file: the checkpoint.
    /// - Throws: `CheckpointError`.
    init(_ file: CheckpointFile) throws(CheckpointError) {
        archive = try ZipArchive(file)
        let folder = try Self.folder(of: archive)
        if archive.entries[folder + "/constants.pkl"] != nil {
            throw .format(
                reason: "the file is a TorchScript program, not a checkpoint; save the state_dict of its module instead"
            )
        }
        if let order = archive.entries[folder + "/byteorder"] {
            guard order.size == 6, try file.bytes(at: order.offset, count: 6).elementsEqual("little".utf8) else {
                throw .archive(reason: "its numbers are big-endian")
            }
        }
        guard let entry = archive.entries[folder + "/data.pkl"], entry.size <= Pickle.mostBytes else {
            throw .archive(reason: "its data.pkl has more than \(Pickle.mostBytes) bytes")
        }
        let bytes = try file.bytes(at: entry.offset, count: entry.size)
        guard !entry.isChecked || bytes.withUnsafeBytes(CRC32.init).value == entry.checksum else {
            throw .damaged(entry: folder + "/data.pkl")
        }
        let pickle = try Pickle(bytes)
        let state = try StateDictionary(pickle)
        var tensors: [CheckpointTensor] = []
        for (name, tensor) in state.tensors {
            tensors.append(try Self.place(tensor, name, in: archive, folder: folder))
        }
        model = Model(tensors: tensors, beside: state.beside)
    }

    private static func folder(of archive: ZipArchive) throws(CheckpointError) -> String {
        let found = archive.entries.keys.filter {
            $0.hasSuffix("/data.pkl") && $0.utf8.count { $0 == UInt8(ascii: "/") } == 1
        }
        guard let only = found.first, found.count == 1 else {
            throw .archive(reason: found.isEmpty ? "it does not have a data.pkl" : "it has more than one data.pkl")
        }
        return String(only.dropLast("/data.pkl".count))
    }

    /// Finds the first byte of a view in the file.
    private static func place(
        _ tensor: PickleTensor, _ name: String, in archive: ZipArchive, folder: String
    ) throws(CheckpointError) -> CheckpointTensor {
        let storage = tensor.storage
        guard let record = archive.entries["\(folder)/data/\(storage.key)"] else {
            throw .tensor(name, reason: "the archive does not have its record \("data/\(storage.key)".quoted)")
        }
        let needed = storage.count * storage.type.width
        guard needed <= record.size else {
            throw .tensor(
                name, reason: "its storage claims \(needed) bytes, but its record has \(record.size)")
        }
        return CheckpointTensor(
            name: name, type: storage.type, shape: tensor.shape, strides: tensor.strides,
            offset: record.offset + tensor.offset * storage.type.width)
    }
}

/// The tensors of a model among all entries of a checkpoint.
private struct StateDictionary {
    var tensors: [String: PickleTensor] = [:]
    /// The keys of the other entries.
    var beside: [String] = []

    /// Finds the dictionary of the model's tensors.
    ///
    /// It is the value of `model`, `state_dict` or `model_state_dict`, or else the whole pickle. A
    /// model that was trained on several processors has `module.` before every name, and a fine-tuned
    /// SAM 2 of bowang-lab/MedSAM `sam2_model.`; these prefixes are removed.
    init(_ pickle: Pickle) throws(CheckpointError) {
        guard var entries = Self.dictionary(pickle.root, in: pickle) else {
            throw .format(reason: "the file does not contain a state_dict, a dictionary of tensors")
        }
        let outer = Self.named(entries)
        for key in ["model", "state_dict", "model_state_dict"] {
            guard let inner = outer[key].flatMap({ Self.dictionary($0, in: pickle) }) else { continue }
            beside = outer.keys.filter { $0 != key }.sorted()
            entries = inner
            break
        }
        for (name, value) in Self.named(entries) {
            guard case .object(let index) = value, case .tensor(let tensor) = pickle.objects[index] else { continue }
            tensors[name] = tensor
        }
        for prefix in ["module.", "sam2_model."]
        where !tensors.isEmpty && tensors.keys.allSatisfy({ $0.hasPrefix(prefix) }) {
            let shorter = tensors.map { (String($0.key.dropFirst(prefix.count)), $0.value) }
            tensors = Dictionary(shorter) { _, last in last }
        }
    }

    private static func dictionary(
        _ value: PickleValue, in pickle: Pickle
    ) -> [(key: PickleValue, value: PickleValue)]? {
        guard case .object(let index) = value, case .dictionary(let entries) = pickle.objects[index] else { return nil }
        return entries
    }

    /// The entries whose keys are texts; if a key repeats, its last entry counts.
    private static func named(_ entries: [(key: PickleValue, value: PickleValue)]) -> [String: PickleValue] {
        var named: [String: PickleValue] = [:]
        for (key, value) in entries {
            if case .text(let name) = key { named[name] = value }
        }
        return named
    }
}
