// SPDX-License-Identifier: Apache-2.0

import Foundation
import Inference
import TestSupport
import Testing

/// Hostile files: each gives a clear error quickly, and nothing in it is run.
@Suite struct HostileCheckpointTests {
    /// The error of adding a file with these bytes.
    static func error(_ bytes: [UInt8], named name: String = "x.pth") throws -> String {
        try withTemporaryFolder { folder in
            let path = try folder.file(name, bytes)
            let store = WeightStore(folder: folder.appending(path: "store").path)
            do {
                _ = try store.add(path)
                return "it was added"
            } catch {
                #expect(try store.installed().isEmpty)
                return "\(error)"
            }
        }
    }

    static func pickled(_ pickle: [UInt8]) throws -> String { try error(PickleBuilder.archive(pickle)) }

    @Test(arguments: [
        ("posix", "system"), ("os", "system"), ("builtins", "eval"), ("builtins", "getattr"), ("subprocess", "Popen"),
        ("torch", "load"), ("torch._utils", "_rebuild_parameter_with_state"), ("torch", "UntypedStorage"),
        ("collections", "defaultdict"), ("torch.storage", "FloatStorage"), ("numpy", "load"),
    ])
    func `a foreign name in a pickle is refused, and nothing is run`(module: String, name: String) throws {
        try withTemporaryFolder { folder in
            let trace = folder.appending(path: "trace").path
            let call = PickleBuilder.tuple([PickleBuilder.text("touch \(trace)")]) + [0x52]
            let old = try Self.pickled(PickleBuilder.global(module, name) + call)
            #expect(old.hasPrefix("refused \(module).\(name): "))
            let new = try Self.pickled(PickleBuilder.text(module) + PickleBuilder.text(name) + [0x93] + call)
            #expect(new == old)
            #expect(!FileManager.default.fileExists(atPath: trace))
        }
    }

    @Test func `a name cannot write to the terminal`() throws {
        let found = try Self.pickled(PickleBuilder.global("a\u{1b}[2J", String(repeating: "b", count: 200)))
        #expect(found.hasPrefix("refused a?[2J.bbbb"))
        #expect(found.count < 400)
    }

    static let floats = PickleBuilder.dictionary([("x", PickleBuilder.tensor(count: 1, shape: [1], strides: [1]))])

    struct View: Sendable, CustomTestStringConvertible {
        var tensor: [UInt8]
        var expected: String
        var testDescription: String { expected }

        init(_ tensor: [UInt8], _ expected: String) {
            self.tensor = tensor
            self.expected = expected
        }
    }

    static let views: [View] = [
        // A claim of 2 GB in a file of 1 KB, in its storage and in its shape alone.
        View(
            PickleBuilder.tensor(count: 1 << 29, shape: [1 << 29], strides: [1]),
            "its storage claims 2147483648 bytes"),
        View(PickleBuilder.tensor(count: 1, shape: [1 << 29], strides: [0]), "more numbers than its storage"),
        View(PickleBuilder.tensor(count: 1, shape: [2], strides: [1]), "beyond its storage"),
        View(PickleBuilder.tensor(count: 1, offset: 1, shape: [1], strides: [1]), "beyond its storage"),
        View(PickleBuilder.tensor(count: 1, offset: -1, shape: [1], strides: [1]), "negative"),
        View(PickleBuilder.tensor(count: 1, shape: [-1], strides: [1]), "negative"),
        View(PickleBuilder.tensor(count: 1, shape: [1], strides: [-1]), "negative"),
        View(PickleBuilder.tensor(count: 1, offset: .max, shape: [2], strides: [1]), "beyond its storage"),
        View(PickleBuilder.tensor(count: 1, shape: [.max, .max], strides: [.max, 1]), "beyond its storage"),
        View(PickleBuilder.tensor(count: 1, shape: [.max, 2], strides: [0, .max]), "beyond its storage"),
        View(PickleBuilder.tensor(count: .max, shape: [1], strides: [1]), "a storage has an impossible size"),
        View(PickleBuilder.tensor(count: -1, shape: [1], strides: [1]), "a storage has an impossible size"),
        View(
            PickleBuilder.tensor(count: 1, shape: [0, .max, .max], strides: [.max, .max, .max]), "beyond its storage"),
        View(
            PickleBuilder.tensor(count: 1, shape: [1, 1, 1, 1, 1, 1, 1, 1, 1], strides: [1, 1, 1, 1, 1, 1, 1, 1, 1]),
            "8 axes"),
        View(
            PickleBuilder.tensor("7", count: 1, shape: [1], strides: [1]),
            "the archive does not have its record 'data/7'"),
        View(PickleBuilder.tensor("../0", count: 1, shape: [1], strides: [1]), "the archive does not have its record"),
        View(
            PickleBuilder.tensor(count: 1, shape: [1], strides: [1]),
            "the tensors are not weights of SAM, MedSAM, LiteMedSAM, medsam-compact, SAM 2 or MedSAM2"),
    ]

    @Test(arguments: views)
    func `a view is checked against its storage and its record`(view: View) throws {
        let found = try Self.pickled(PickleBuilder.dictionary([("x", view.tensor)]))
        #expect(found.contains(view.expected), "\(found)")
    }

    @Test func `a storage of two types is refused`() throws {
        let found = try Self.pickled(
            PickleBuilder.dictionary([
                ("x", PickleBuilder.tensor(count: 1, shape: [1], strides: [1])),
                ("y", PickleBuilder.tensor(type: "HalfStorage", count: 1, shape: [1], strides: [1])),
            ]))
        #expect(found.contains("a storage has two types or sizes"))
    }

    static let pickles: [View] = [
        View([], "takes a value from an empty stack"),
        View([0x73], "takes a value from an empty stack"),
        View([0x29], "does not contain a state_dict"),
        View([0x4e], "does not contain a state_dict"),
        View([0x28, 0x4e, 0x52], "takes a value"),
        View([0x74], "a mark that does not exist"),
        View([0x5d, 0x29, 0x73], "a value that is not a container stands where a container should"),
        View([0x7d, 0x28, 0x4e, 0x75], "a key does not have a value"),
        View([0x7d, 0x4e, 0x61], "appends to an object that is not a list"),
        View([0x68, 5], "the memo does not have a value 5"),
        View([0x4e, 0x72, 255, 255, 255, 255], "values in the memo"),
        View([0x58, 255, 255, 255, 255, 0x61], "ends in the middle"),
        View([0x8d, 255, 255, 255, 255, 255, 255, 255, 255], "too large"),
        View([0x8d, 255, 255, 255, 255, 255, 255, 255, 0x7f], "ends in the middle"),
        View([0x42, 1, 0, 0, 0, 0], "opcode 0x42"),
        View([0x00], "opcode 0x00"),
        View([0x49, 0x31, 0x0a], "opcode 0x49"),
        View([0x80, 9], "protocol 9"),
        View([0x29, 0x29, 0x52], "not a name"),
        View([0x4e, 0x51], "is not a storage"),
        View([0x5d, 0x7d, 0x62], "not an OrderedDict"),
        View([0x8a, 255, 1], "ends in the middle"),
        View(Array("c".utf8) + [UInt8](repeating: 0x61, count: 300), "too long"),
        View(
            PickleBuilder.global("collections", "OrderedDict") + PickleBuilder.tuple([[0x5d]]) + [0x52],
            "an OrderedDict is created from arguments"),
        View(PickleBuilder.global("torch", "FloatStorage") + [0x29, 0x52], "a storage is created from arguments"),
        View(
            PickleBuilder.global("torch._utils", "_rebuild_tensor_v2") + [0x29, 0x52],
            "other arguments than a tensor takes"),
        View(PickleBuilder.global("torch._utils", "_rebuild_parameter") + [0x29, 0x52], "is not a tensor"),
    ]

    @Test(arguments: pickles)
    func `an invalid pickle is refused with the place of the fault`(pickle: View) throws {
        let found = try Self.pickled(pickle.tensor)
        #expect(found.contains(pickle.expected), "\(found)")
    }

    @Test func `bombs of memo, depth, lists and objects are small and quick`() throws {
        let clock = ContinuousClock()
        let start = clock.now
        // A list that contains itself, tuples of tuples, a billion laughs, and lists in lists by
        // marks.
        #expect(try Self.pickled([0x5d, 0x71, 0, 0x68, 0, 0x61]).contains("does not contain a state_dict"))
        let deep = [UInt8](repeating: 0x85, count: 200_000)
        #expect(try Self.pickled([0x29] + deep).contains("does not contain a state_dict"))
        var laughs: [UInt8] = [0x5d, 0x71, 0]
        for level in UInt8(1)..<30 {
            laughs +=
                [0x5d, 0x28] + [UInt8](repeating: 0, count: 20).flatMap { _ in [0x68, level - 1] } + [
                    0x65, 0x71, level,
                ]
        }
        #expect(try Self.pickled(laughs).contains("does not contain a state_dict"))
        #expect(try Self.pickled([UInt8](repeating: 0x28, count: 100_000)).contains("nested too deep"))
        #expect(try Self.pickled([UInt8](repeating: 0x5d, count: 1_000_000)).contains("values at once"))
        let dropped = [0x5d] + [UInt8](repeating: 0, count: 400_000).flatMap { _ -> [UInt8] in [0x5d, 0x61] }
        #expect(try Self.pickled(dropped).contains("objects"))
        #expect(try Self.pickled([UInt8](repeating: 0x4e, count: 5 << 20)).contains("more than 4194304 bytes"))
        // One list that is appended to a million times; it must not be copied each time.
        let long = [0x5d] + [UInt8](repeating: 0, count: 1_000_000).flatMap { _ -> [UInt8] in [0x4e, 0x61] }
        #expect(try Self.pickled(long).contains("does not contain a state_dict"))
        #expect(clock.now - start < .seconds(60))
    }

    @Test func `archives that PyTorch does not write are refused`() throws {
        func zip(_ change: (inout ZipBuilder) -> Void) throws -> String {
            var zip = ZipBuilder()
            zip.add("a/data.pkl", [0x80, 2] + Self.floats + [0x2e])
            zip.add("a/data/0", [0, 0, 0x80, 0x3f])
            change(&zip)
            return try Self.error(zip.bytes)
        }
        #expect(try zip { _ in }.contains("not weights of SAM"))
        #expect(try zip { $0.entries[1].method = 8 }.contains("'a/data/0' is compressed"))
        #expect(try zip { $0.entries[1].flags = 1 }.contains("encrypted"))
        #expect(try zip { $0.entries[1].claimedSize = 1 << 40 }.contains("may be truncated"))
        #expect(try zip { $0.entries[1].claimedSize = .max }.contains("damaged"))
        #expect(try zip { $0.entries[1].claimedOffset = .max }.contains("damaged"))
        #expect(try zip { $0.entries[1].claimedOffset = 1 << 62 }.contains("outside the file"))
        #expect(try zip { $0.entries[1].claimedOffset = 3 }.contains("does not begin where"))
        #expect(try zip { $0.entries[1].claimedOffset = 0 }.contains("does not begin where"))
        #expect(try zip { $0.add("a/data/0", []) }.contains("two entries have the name 'a/data/0'"))
        #expect(try zip { $0.add("b/data.pkl", []) }.contains("more than one data.pkl"))
        #expect(try zip { $0.entries[0].name = "data.pkl" }.contains("does not have a data.pkl"))
        #expect(try zip { $0.add("a/constants.pkl", []) }.contains("TorchScript"))
        #expect(try zip { $0.add("a/byteorder", Array("big".utf8)) }.contains("big-endian"))
        #expect(try zip { $0.entries[0].claimedSize = UInt64($0.entries[0].bytes.count + 40) }.contains("overlap"))
    }

    @Test func `an old format gets the command that converts it`() throws {
        let magic: [UInt8] = [0x80, 2, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e]
        let legacy = try Self.error(magic + [UInt8](repeating: 0, count: 600), named: "old.pth")
        #expect(legacy.contains("before 1.6"))
        #expect(
            legacy.hasSuffix(
                "python3 -c \"import torch; torch.save(torch.load('old.pth', map_location='cpu', weights_only=True), "
                    + "'resaved-old.pth')\""))
        let tar = [UInt8](repeating: 0x61, count: 257) + Array("ustar".utf8) + [UInt8](repeating: 0, count: 300)
        #expect(try Self.error(tar, named: "a'; rm -rf $HOME;.pth").contains("torch.load('FILE'"))
        #expect(try Self.error(tar).contains("files you trust"))
        #expect(try Self.error([]) == "the file is empty")
        #expect(try Self.error(Array("\n<!DOCTYPE html><html>".utf8)).contains("web page"))
        // The header's length may begin with any character: 0x3c is "<", and 0x8b1f begins a file of gzip.
        for length in [0x3c, 0x8b1f] {
            let header = #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#
            let bytes =
                (0..<8).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) } + Array(header.utf8)
                + [UInt8](repeating: 0x20, count: length - header.utf8.count) + [0, 0, 0, 0]
            let found = try Self.error(bytes)
            #expect(!found.contains("web page") && !found.contains("gzip"))
        }
        #expect(try Self.error(Array("version https://git-lfs.github.com/spec/v1\n".utf8)).contains("Git LFS"))
        #expect(try Self.error([0x1f, 0x8b, 8]).contains("gunzip"))
        #expect(try Self.error([UInt8](repeating: 7, count: 99)).contains("neither a PyTorch checkpoint"))
    }

    @Test func `a path that is not a regular file is an error`() throws {
        try withTemporaryFolder { folder in
            let store = WeightStore(folder: folder.appending(path: "store").path)
            #expect(throws: CheckpointError.unreadable(reason: "No such file or directory")) {
                try store.add(folder.appending(path: "x").path)
            }
            #expect(throws: CheckpointError.unreadable(reason: "it is not a regular file")) {
                try store.add(folder.path)
            }
            let pipe = folder.appending(path: "pipe").path
            #expect(mkfifo(pipe, 0o600) == 0)
            #expect(throws: CheckpointError.unreadable(reason: "it is not a regular file")) { try store.add(pipe) }
        }
    }
}
