// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

/// `kontur models`, as a person uses it.
@Suite(.serialized) struct ModelsCommandTests {
    static let fixtures = Checkout.root.appending(path: "Tests/InferenceTests/Weights/Fixtures")

    static func models(_ arguments: String..., in folder: URL) async throws -> ExternalResult {
        let store = folder.appending(path: "models").path
        return try await runExternal(Executables.kontur, ["models"] + arguments + ["--models", store], within: 60)
    }

    static func object(_ result: ExternalResult) throws -> [String: Any] {
        try #require(try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any])
    }

    /// Families that are offered because nothing of them is there, and those of the segmenters that cannot run.
    static func families(_ list: [String: Any]) throws -> (missing: Set<String>, lacking: Set<String>) {
        let offers = try #require(list["missing"] as? [[String: Any]])
        let segmenters = try #require(list["segmenters"] as? [[String: Any]])
        return (
            Set(offers.compactMap { $0["family"] as? String }),
            Set(segmenters.filter { $0["canRun"] as? Bool == false }.compactMap { $0["family"] as? String })
        )
    }

    @Test func `without weights the list says what is missing, and where it is offered`() async throws {
        try await withTemporaryFolder { folder in
            let text = try await Self.models("list", in: folder)
            #expect(text.status == 0)
            #expect(text.output.contains("No weights are installed in \(folder.path)/models."))
            #expect(text.output.contains("https://github.com/facebookresearch/segment-anything"))
            #expect(text.output.contains("kontur models add lite_medsam.pth --models \(folder.path)/models"))
            let object = try Self.object(await Self.models("list", "--json", in: folder))
            let models = try #require(object["models"] as? [[String: Any]])
            #expect(
                Set(["polyp-compact", "left-atrium-compact"]).isSubset(of: models.compactMap { $0["name"] as? String }))
            #expect(models.allSatisfy { ($0["weightsHash"] as? String)?.count == 64 })
            let (missing, lacking) = try Self.families(object)
            #expect(missing == lacking && missing.isSuperset(of: ["sam", "medsam", "lite-medsam"]))
        }
    }

    @Test func `weights are added, listed, verified and removed`() async throws {
        try await withTemporaryFolder { folder in
            let file = Self.fixtures.appending(path: "sam_trained.pth").path
            let added = try await Self.models("add", file, "--name", "ours", in: folder)
            #expect(added.status == 0, "\(added.errors)")
            #expect(added.output.hasPrefix("ours was added.\n"))
            #expect(added.output.contains("Assumed SAM"))
            #expect(added.output.contains("Research software, not a medical device"))
            let list = try Self.object(await Self.models("list", "--json", in: folder))
            #expect((list["weights"] as? [[String: Any]])?.map { $0["name"] as? String } == ["ours"])
            let (missing, lacking) = try Self.families(list)
            #expect(
                missing == lacking && missing.isSuperset(of: ["medsam", "lite-medsam"]) && !missing.contains("sam"))
            #expect(try await Self.models("list", in: folder).output.contains("sam_trained.pth"))
            #expect(try await Self.models("verify", in: folder).output.contains("ours     whole"))
            #expect(try await Self.models("remove", "ours", in: folder).status == 0)
            let gone = try await Self.models("remove", "ours", in: folder)
            #expect(gone.status == 1)
            #expect(gone.errors.contains("no installed weights are called 'ours'; none are installed"))
        }
    }

    @Test func `the input size of weights can be named, and is shown`() async throws {
        try await withTemporaryFolder { folder in
            let lite = Self.fixtures.appending(path: "lite_medsam.pth").path
            let added = try await Self.models("add", lite, "--input-size", "64", in: folder)
            #expect(added.status == 0 && added.output.contains("million parameters, input 64 x 64"), "\(added.errors)")
            let wrong = try await Self.models("add", lite, "--input-size", "100", "--replace", in: folder)
            #expect(wrong.status == 1 && wrong.errors.contains("a multiple of 16 from 32 to 1024, not 100"))
        }
    }

    @Test func `a rule beside weights makes another version of sam-auto, and a broken one is named`() async throws {
        try await withTemporaryFolder { folder in
            _ = try await Self.models("add", Self.fixtures.appending(path: "sam_flat.pth").path, in: folder)
            func version() async throws -> String {
                let list = try Self.object(await Self.models("list", "--json", in: folder))
                let models = try #require(list["models"] as? [[String: Any]])
                return try #require(models.first { $0["name"] as? String == "sam-auto" }?["version"] as? String)
            }
            var versions = [try await version()]
            let store = folder.appending(path: "models")
            let weights = try #require(
                try FileManager.default.contentsOfDirectory(at: store, includingPropertiesForKeys: nil)
                    .first { $0.pathExtension == "safetensors" })
            let rule = weights.deletingPathExtension().appendingPathExtension("rule.json")
            let features = [
                "logAreaShare", "squaredLogAreaShare", "stability", "predictedIoU", "borderContact", "colourContrast",
                "compactness", "specularShare", "centreDistance",
            ]
            for intercept in [1.0, 2.0, 1.0] {
                let numbers = [Double](repeating: 1, count: features.count)
                let fitted: [String: Any] = [
                    "weights": "", "fittedOn": "", "frames": 1, "masks": 1, "heldOutAUC": 0.5, "heldOutFrames": 1,
                ]
                let object: [String: Any] = [
                    "features": features, "mean": numbers, "deviation": numbers, "coefficients": numbers,
                    "intercept": intercept, "threshold": 0.5, "provenance": fitted,
                ]
                try JSONSerialization.data(withJSONObject: object).write(to: rule)
                versions.append(try await version())
            }
            #expect(versions.allSatisfy { $0.hasPrefix("1.1.1+rule.") })
            #expect(Set(versions).count == 3 && versions[1] == versions[3])
            try Data("{}".utf8).write(to: rule)
            let broken = try await Self.models("list", in: folder)
            #expect(broken.status == 1)
            #expect(broken.errors.contains("the rule of sam-auto cannot be used: of \(rule.lastPathComponent), "))
        }
    }

    @Test func `damage ends verification with 1`() async throws {
        try await withTemporaryFolder { folder in
            _ = try await Self.models("add", Self.fixtures.appending(path: "lite_medsam.pth").path, in: folder)
            let store = folder.appending(path: "models")
            for file in try FileManager.default.contentsOfDirectory(at: store, includingPropertiesForKeys: nil)
            where file.pathExtension == "safetensors" {
                try Data("x".utf8).write(to: file)
            }
            let result = try await Self.models("verify", in: folder)
            #expect(result.status == 1)
            #expect(result.output.contains("the file has 1 bytes, but its record says"))
            #expect(result.errors.contains("lite_medsam_custom changed since they were added"))
        }
    }

    @Test func `a checkpoint that is refused ends with 1 and says why`() async throws {
        try await withTemporaryFolder { folder in
            let file = folder.appending(path: "x.pth")
            try Data("<html>".utf8).write(to: file)
            let result = try await Self.models("add", file.path, in: folder)
            #expect(result.status == 1)
            #expect(
                result.errors.hasPrefix("Error: could not add '\(file.path)': the file is a web page, not a checkpoint")
            )
            let family = try await Self.models("add", file.path, "--family", "sam9", in: folder)
            #expect(family.status == 64)
        }
    }

    @Test func `with a configuration every route says what it lacks`() async throws {
        try await withTemporaryFolder { folder in
            let file = folder.appending(path: "kontur.yaml")
            let routes = """
                routes:
                  - {name: a, when: {modality: [MR]}, segmenter: medsam-slices, sendTo: []}
                  - {name: b, when: {modality: [CT]}, segmenter: left-atrium-compact, sendTo: []}
                """
            try Data(routes.utf8).write(to: file)
            let list = try await Self.models("list", "--config", file.path, "--json", in: folder)
            #expect(list.status == 0, "\(list.errors)")
            let lines = try #require(try Self.object(list)["routes"] as? [[String: Any]])
            #expect((lines[0]["lacks"] as? String)?.hasPrefix("medsam-slices needs weights of MedSAM") == true)
            #expect(lines[1]["lacks"] == nil)
        }
    }
}
