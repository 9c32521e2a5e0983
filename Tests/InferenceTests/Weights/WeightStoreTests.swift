// SPDX-License-Identifier: Apache-2.0

import Foundation
import Inference
import TestSupport
import Testing

@Suite struct WeightStoreTests {
    static func withStore(_ body: (WeightStore, URL) throws -> Void) throws {
        try withTemporaryFolder { folder in
            try body(WeightStore(folder: folder.appending(path: "some/store").path), folder)
        }
    }

    static func mode(_ path: String) throws -> Int {
        try #require(try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int)
    }

    /// A valid checkpoint with another last number.
    static func write(_ value: UInt32, into fixture: String) throws -> [UInt8] {
        var bytes = try Fixture.bytes(fixture)
        bytes.replaceSubrange(bytes.count - 4..<bytes.count, with: little(UInt64(value), 4))
        return bytes
    }

    @Test func `a missing folder is an empty store`() throws {
        #expect(try WeightStore(folder: "/nowhere/at/all").installed().isEmpty)
        #expect(try WeightStore(folder: "/nowhere/at/all").verify().isEmpty)
        #expect(throws: WeightStoreError.unknownName("x", known: [])) {
            try WeightStore(folder: "/nowhere/at/all").remove("x")
        }
    }

    @Test func `only the owner can read the files, and other files do not remain`() throws {
        try Self.withStore { store, _ in
            let weights = try store.add(Fixture.path("sam_flat.pth")).weights
            #expect(try Self.mode(store.folder) == 0o700)
            #expect(try Self.mode(weights.path) == 0o600)
            let files = try FileManager.default.contentsOfDirectory(atPath: store.folder)
            #expect(
                files.sorted() == [
                    ".lock", "sam_vit_custom-\(weights.sha256.prefix(16)).safetensors", "sam_vit_custom.json",
                ])
            for file in files { #expect(try Self.mode("\(store.folder)/\(file)") == 0o600) }
            #expect(try store.installed() == [weights])
            #expect(try store.weights("sam_vit_custom") == weights)
            #expect(try SafeTensors(path: weights.path).sha256 == weights.sha256)
            let size = try Data(contentsOf: URL(filePath: weights.path)).count
            #expect(weights.bytes == size)
        }
    }

    @Test func `the same file twice is one, and another one must be allowed to replace it`() throws {
        try Self.withStore { store, folder in
            let first = try store.add(Fixture.path("sam_flat.pth"))
            let again = try store.add(Fixture.path("sam_flat.pth"))
            #expect(again.wasThere && again.weights == first.weights)
            let other = Fixture.path("sam_half_protocol4.pth")
            #expect(
                throws: WeightStoreError.nameTaken("sam_vit_custom", family: .sam, source: "sam_flat.pth")
            ) { try store.add(other) }
            #expect(try store.installed() == [first.weights])
            let replacing = try store.add(other, .init(replaces: true))
            #expect(replacing.replaced == first.weights)
            #expect(try store.installed() == [replacing.weights])
            #expect(!FileManager.default.fileExists(atPath: first.weights.path))
            _ = try store.add(Fixture.path("sam_flat.pth"), .init(name: "Second.one"))
            #expect(try store.installed().map(\.name) == ["Second.one", "sam_vit_custom"])
            _ = folder
        }
    }

    @Test func `another input size is stored, and makes other weights`() throws {
        try Self.withStore { store, _ in
            let lite = Fixture.path("lite_medsam.pth")
            let weights = try store.add(lite, .init(name: "x", inputSize: 64)).weights
            #expect(weights.inputSize == 64)
            #expect(try weights.open().metadata["inputSize"] == "64")
            #expect(try store.installed() == [weights])
            #expect(try store.add(lite, .init(name: "x", inputSize: 64)).wasThere)
            #expect(throws: WeightStoreError.nameTaken("x", family: .liteMedSAM, source: "lite_medsam.pth")) {
                try store.add(lite, .init(name: "x"))
            }
            let usual = try store.add(lite, .init(name: "y", inputSize: 256)).weights
            #expect(try usual.inputSize == nil && usual.open().metadata["inputSize"] == nil)
            #expect {
                _ = try store.add(Fixture.path("sam_flat.pth"), .init(inputSize: 64))
            } throws: { "\($0)".contains("show the size of its input: leave out the input size") }
        }
    }

    @Test func `the same file of another family is other weights`() throws {
        try Self.withStore { store, _ in
            _ = try store.add(Fixture.path("sam_flat.pth"), .init(name: "x"))
            #expect(throws: WeightStoreError.nameTaken("x", family: .sam, source: "sam_flat.pth")) {
                try store.add(Fixture.path("sam_flat.pth"), .init(name: "x", family: .medsam))
            }
        }
    }

    @Test(arguments: [
        "", ".", "..", "../x", "a/b", "-x", "_x", ".x", "a b", "ä", "a\n", String(repeating: "a", count: 65),
    ])
    func `a name is one file's name`(name: String) throws {
        try Self.withStore { store, _ in
            #expect(throws: WeightStoreError.badName(name)) {
                try store.add(Fixture.path("sam_flat.pth"), .init(name: name))
            }
            #expect(throws: WeightStoreError.self) { try store.remove(name) }
        }
    }

    @Test func `changed weights are found and do not open`() throws {
        try Self.withStore { store, _ in
            let weights = try store.add(Fixture.path("sam_flat.pth")).weights
            let whole = try store.verify()
            #expect(whole == [WeightStore.Verification(name: weights.name)])
            let bytes = try Data(contentsOf: URL(filePath: weights.path))
            var changed = bytes
            changed[bytes.count - 1] ^= 1
            try changed.write(to: URL(filePath: weights.path))
            #expect(try store.verify().first?.problem?.contains("the file's SHA-256 is") == true)
            #expect(throws: WeightFileError.self) { try weights.open() }
            try bytes.dropLast().write(to: URL(filePath: weights.path))
            #expect(
                try store.verify().first?.problem
                    == "the file has \(bytes.count - 1) bytes, but its record says \(bytes.count)")
            try FileManager.default.removeItem(atPath: weights.path)
            #expect(try store.verify().first?.problem == "the file cannot be read: No such file or directory")
            // Adding it once more puts it back.
            #expect(try store.add(Fixture.path("sam_flat.pth"), .init(replaces: true)).weights == weights)
            #expect(try store.verify().first?.problem == nil)
        }
    }

    @Test func `removed weights are gone, but an open file stays readable`() throws {
        try Self.withStore { store, _ in
            let weights = try store.add(Fixture.path("sam_flat.pth")).weights
            let open = try weights.open()
            #expect(try store.remove(weights.name) == weights)
            #expect(try store.installed().isEmpty)
            #expect(try FileManager.default.contentsOfDirectory(atPath: store.folder) == [".lock"])
            #expect(try open.tensor("mask_decoder.iou_token.weight").count == 8)
            #expect(throws: WeightStoreError.unknownName("sam_vit_custom", known: [])) {
                try store.remove(weights.name)
            }
        }
    }

    @Test func `the remains of a crash are removed, and other files stay`() throws {
        try Self.withStore { store, _ in
            let weights = try store.add(Fixture.path("sam_flat.pth")).weights
            let folder = URL(filePath: store.folder)
            _ = try folder.file(".unfinished", [1])
            _ = try folder.file("sam_vit_b-0123456789abcdef.safetensors", [1])
            _ = try folder.file("mine.safetensors", [1])
            _ = try store.add(Fixture.path("lite_medsam.pth"))
            let files = Set(try FileManager.default.contentsOfDirectory(atPath: store.folder))
            #expect(files.contains("mine.safetensors"))
            #expect(!files.contains(".unfinished") && !files.contains("sam_vit_b-0123456789abcdef.safetensors"))
            #expect(try store.weights(weights.name) == weights)
        }
    }

    @Test func `an invalid record is named`() throws {
        try Self.withStore { store, _ in
            let weights = try store.add(Fixture.path("sam_flat.pth")).weights
            let record = "\(store.folder)/sam_vit_custom.json"
            let whole = try String(contentsOfFile: record, encoding: .utf8)
            for bad in [
                "", "{}", whole.replacing("sam_vit_custom-", with: "../sam_vit_custom-"),
                whole.replacing("\"sam_vit_custom\"", with: "\"other\""),
            ] {
                try Data(bad.utf8).write(to: URL(filePath: record))
                #expect(throws: WeightStoreError.record(path: record)) { try store.installed() }
            }
            _ = weights
        }
    }

    @Test func `a rule beside weights is not a record, stays, and cannot be a name`() throws {
        try Self.withStore { store, _ in
            let weights = try store.add(Fixture.path("sam_flat.pth")).weights
            let rule = weights.path.replacing(".safetensors", with: ".rule.json")
            try Data("{}".utf8).write(to: URL(filePath: rule))
            #expect(try store.installed() == [weights])
            #expect(try store.verify().map(\.problem) == [nil])
            _ = try store.remove(weights.name)
            #expect(FileManager.default.fileExists(atPath: rule))
            #expect(throws: WeightStoreError.badName("x.rule")) {
                try store.add(Fixture.path("sam_flat.pth"), .init(name: "x.rule"))
            }
        }
    }

    @Test func `two commands do not change one folder at once`() throws {
        try Self.withStore { store, _ in
            _ = try store.add(Fixture.path("sam_flat.pth"))
            let lock = open("\(store.folder)/.lock", O_RDWR)
            defer { close(lock) }
            #expect(flock(lock, LOCK_EX) == 0)
            #expect(throws: WeightStoreError.busy(store.folder)) { try store.add(Fixture.path("lite_medsam.pth")) }
            #expect(throws: WeightStoreError.busy(store.folder)) { try store.remove("sam_vit_custom") }
        }
    }

    @Test(arguments: [UInt32(0x7f80_0000), 0xff80_0000, 0x7fc0_0000, 0x7f80_0001])
    func `infinite numbers and NaN are refused`(value: UInt32) throws {
        try Self.withStore { store, folder in
            let path = try folder.file("x", Self.write(value, into: "sam_transformers.safetensors"))
            #expect { try store.add(path) } throws: {
                "\($0)".hasSuffix("it contains numbers that are infinite or not a number")
            }
            #expect(try FileManager.default.contentsOfDirectory(atPath: store.folder) == [".lock"])
            _ = try store.add(folder.file("y", Self.write(0x7f7f_ffff, into: "sam_transformers.safetensors")))
        }
    }

    @Test func `tensors that are missing, too many or of other shapes are named`() throws {
        try Self.withStore { store, folder in
            func changed(_ old: String, _ new: String) throws -> String {
                var data = try Data(Fixture.bytes("sam_expected.safetensors"))
                while let range = data.range(of: Data(old.utf8)) { data.replaceSubrange(range, with: Data(new.utf8)) }
                return try folder.file("x", Array(data))
            }
            #expect {
                try store.add(changed("mask_decoder.iou_token", "mask_decoder.iou_tokem"))
            } throws: { error in
                "\(error)".hasPrefix(
                    "the tensors are not those of SAM ViT 8/2, 8 x 8: mask_decoder.iou_token.weight is missing; "
                        + "'mask_decoder.iou_tokem.weight' does not belong to this network")
            }
            #expect {
                try store.add(changed(#""shape":[1,4,4,8]"#, #""shape":[1,8,4,4]"#))
            } throws: { "\($0)".contains("image_encoder.") }
            let installed = try store.installed()
            #expect(installed.isEmpty)
        }
    }
}
