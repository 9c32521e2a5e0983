// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

/// The real executable: what it prints, and how it ends.
@Suite(.serialized) struct CommandTests {
    static func kontur(_ arguments: String...) async throws -> ExternalResult {
        try await runExternal(Executables.kontur, arguments, within: 60)
    }

    @Test func `help ends with 0 and says that this is no medical device`() async throws {
        let result = try await Self.kontur("--help")
        #expect(result.status == 0)
        #expect(result.output.contains("Research software, not a medical device"))
        for command in ["serve", "segment", "evaluate", "route", "status", "jobs", "audit", "models", "config"] {
            #expect(result.output.contains("  \(command) "), "\(command) is not listed")
        }
        #expect(!result.output.contains("worker"))
    }

    @Test func `the version is a number`() async throws {
        let result = try await Self.kontur("--version")
        #expect(result.status == 0)
        #expect(result.output.contains(/^\d+\.\d+\.\d+\n$/))
    }

    @Test(arguments: [
        ["frobnicate"], ["segment"], ["segment", "x"], ["serve", "--port"], ["audit", "verify", "--head"],
        ["segment", "x", "--output", "y", "--segmenter", "polyp-compct"],
        ["segment", "x", "--output", "y", "--segmenter", "polyp-compact", "--route", "a"],
        ["jobs", "retry"], ["worker", "--role", "sleep"],
        // Prompts that the segmenter does not take, or that are none.
        ["segment", "x", "--output", "y", "--segmenter", "polyp-compact", "--box", "1,2,3,4"],
        ["segment", "x", "--output", "y", "--segmenter", "polyp-compact", "--point", "1,2,+"],
        ["segment", "x", "--output", "y", "--segmenter", "medsam-box", "--point", "1,2,+"],
        ["segment", "x", "--output", "y", "--segmenter", "sam-box", "--box", "1,2,3"],
        ["segment", "x", "--output", "y", "--segmenter", "sam-box", "--box", "5,2,3,4"],
        ["segment", "x", "--output", "y", "--segmenter", "sam-box", "--box", "3,2,3,4"],
        ["segment", "x", "--output", "y", "--segmenter", "sam-box", "--box", "nan,2,3,4"],
        ["segment", "x", "--output", "y", "--segmenter", "sam-point", "--point", "1,2,x"],
        ["segment", "x", "--output", "y", "--segmenter", "sam-point", "--point", "1,2"],
        ["segment", "x", "--output", "y", "--segmenter", "medsam-slices", "--key-slice", "3"],
        ["segment", "x", "--output", "y", "--segmenter", "medsam-slices", "--box", "1,2,3,4", "--key-slice", "0"],
        ["segment", "x", "--output", "y", "--segmenter", "medsam-slices", "--margin", "wide"],
        ["segment", "x", "--output", "y", "--segmenter", "medsam2-track", "--box", "2:1,2,3,4", "--box", "2:1,2,3,5"],
        ["segment", "x", "--output", "y", "--segmenter", "medsam2-track", "--box", "0:1,2,3,4"],
        ["segment", "x", "--output", "y", "--segmenter", "medsam2-track", "--recipe", "sam3"],
        ["segment", "x", "--output", "y", "--segmenter", "medsam2-track", "--prompt-every", "0"],
        ["segment", "x", "--output", "y", "--segmenter", "medsam-slices", "--box", "2:1,2,3,4"],
        ["segment", "x", "--output", "y", "--box", "1,2,3,4"],
        ["segment", "x", "--output", "y", "--weights", "medsam_vit_b"],
    ])
    func `wrong usage ends with 64 and says why on standard error`(_ arguments: [String]) async throws {
        let result = try await runExternal(Executables.kontur, arguments, within: 60)
        #expect(result.status == 64)
        #expect(result.output.isEmpty)
        #expect(result.errors.hasPrefix("Error: "))
    }

    @Test func `a slip in a segmenter's name is recognised`() async throws {
        let result = try await Self.kontur("segment", "x", "--output", "y", "--segmenter", "polyp-compct")
        #expect(result.errors.contains("unknown segmenter 'polyp-compct'; did you mean 'polyp-compact'?"))
    }

    @Test func `an error about a prompt names the option as the person wrote it`() async throws {
        func errors(_ arguments: String...) async throws -> String {
            try await runExternal(
                Executables.kontur, ["segment", "x", "--output", "y", "--segmenter"] + arguments, within: 60
            ).errors
        }
        #expect(
            try await errors("medsam2-compact", "--box", "1,2,3,4", "--key-slice", "0")
                .contains("medsam2-compact cannot use --key-slice: slices are counted from 1"))
        #expect(
            try await errors("medsam2-compact", "--box", "0:1,2,3,4")
                .contains("medsam2-compact cannot use --box: slices are counted from 1"))
        #expect(
            try await errors("medsam2-compact", "--box", "2:5,2,3,4")
                .contains("medsam2-compact cannot use --box: it is inverted"))
        #expect(
            try await errors("medsam-slices", "--prompt-every", "3")
                .contains(
                    "medsam-slices cannot use --prompt-every: it takes --box, --key-slice, --margin, --shift only")
        )
        #expect(
            try await errors("medsam2-compact", "--recipe", "sam3")
                .contains("no recipe is named sam3: choose one of medsam2, medsam2-2024, sam2-video"))
        try await withTemporaryFolder { folder in
            let file = folder.appending(path: "kontur.yaml").path
            let yaml = """
                spool: {path: spool}
                routes:
                  - {name: a, when: {modality: MR}, segmenter: medsam2-compact, promptEvery: 9, sendTo: []}
                """
            try Data(yaml.utf8).write(to: URL(fileURLWithPath: file))
            let result = try await Self.kontur(
                "segment", "x", "--output", folder.appending(path: "out").path, "--config", file, "--route", "a",
                "--box", "1,2,3,4")
            #expect(result.errors.contains("medsam2-compact cannot use 'promptEvery' of the route: it is for boxes"))
        }
    }

    @Test func `weights that are not installed are an error that says how to install them`() async throws {
        try await withTemporaryFolder { folder in
            let models = folder.appending(path: "models").path
            let command = try await Self.kontur(
                "segment", "x", "--output", folder.appending(path: "out").path, "--segmenter", "sam-box", "--models",
                models)
            #expect(command.status == 1)
            #expect(command.errors.contains("not installed in \(models)"))
            #expect(command.errors.contains("'kontur models add sam_vit_b_01ec64.pth --models \(models)'"))
            #expect(command.errors.contains("https://github.com/facebookresearch/segment-anything"))

            let file = folder.appending(path: "kontur.yaml").path
            let yaml = """
                spool: {path: spool}
                routes:
                  - {name: a, when: {modality: MR}, segmenter: left-atrium-compact, sendTo: []}
                  - {name: b, when: {modality: CT}, segmenter: medsam-slices, sendTo: []}
                  - {name: c, when: {modality: ES}, segmenter: sam-box, weights: mine, sendTo: []}
                """
            try Data(yaml.utf8).write(to: URL(fileURLWithPath: file))
            for arguments in [["config", "check", file], ["serve", "--config", file]] {
                let result = try await runExternal(Executables.kontur, arguments, within: 60)
                #expect(result.status == 1)
                #expect(
                    result.errors.contains("\(file):4:48: routes[1].segmenter: medsam-slices needs weights of MedSAM"))
                #expect(result.errors.contains("'kontur models add medsam_vit_b.pth --config \(file)'"))
                #expect(result.errors.contains("\(file):5:66: routes[2].weights: sam-box needs the weights mine"))
                #expect(result.errors.contains("2 errors in the configuration; nothing was started"))
            }
            // What only looks at a spool does not mind.
            let status = try await Self.kontur("status", "--config", file)
            #expect(status.errors.contains("there is no spool"))
        }
    }

    @Test func `a faulty configuration ends with 1, its errors with file and line`() async throws {
        try await withTemporaryFolder { folder in
            let file = folder.appending(path: "faulty.yaml").path
            try Data("node: {port: 99999}\nroute: []\n".utf8).write(to: URL(fileURLWithPath: file))
            for arguments in [["config", "check", file], ["serve", "--config", file], ["status", "--config", file]] {
                let result = try await runExternal(Executables.kontur, arguments, within: 60)
                #expect(result.status == 1)
                #expect(
                    result.errors == """
                        \(file):1:14: node.port: expected a port, 0 to 65535, found '99999'
                        \(file):2:1: route: unknown key; did you mean 'routes'?
                        2 errors in the configuration; nothing was started

                        """)
            }
            let json = try await Self.kontur("config", "check", file, "--json")
            let object = try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any]
            let problems = try #require(object?["problems"] as? [[String: Any]])
            #expect(json.status == 1 && json.errors.isEmpty)
            #expect(problems.map { $0["line"] as? Int } == [1, 2])
            #expect(problems.first?["path"] as? String == "node.port")
        }
    }

    @Test func `a spool path that is somebody's folder is an error with its line, and the folder stays`() async throws {
        try await withTemporaryFolder { folder in
            let spool = folder.appending(path: "home")
            try FileManager.default.createDirectory(
                at: spool.appending(path: "work"), withIntermediateDirectories: true)
            try Data("precious".utf8).write(to: spool.appending(path: "work/thesis.tex"))
            let file = folder.appending(path: "kontur.yaml").path
            try Data("spool: {path: home}\n".utf8).write(to: URL(fileURLWithPath: file))
            let check = try await Self.kontur("config", "check", file)
            #expect(check.status == 1)
            #expect(check.errors.contains("\(file):1:15: spool.path: \(spool.path) is not a spool of Kontur"))
            let serve = try await runExternal(Executables.kontur, ["serve", "--config", file], within: 60)
            #expect(serve.status == 1 && serve.errors.contains("is not a spool of Kontur"))
            let left = try FileManager.default.subpathsOfDirectory(atPath: spool.path).sorted()
            #expect(left == ["work", "work/thesis.tex"])
        }
    }

    @Test func `the check of a configuration names the objects of routes, and warns about FRACTIONAL`() async throws {
        try await withTemporaryFolder { folder in
            let file = folder.appending(path: "kontur.yaml").path
            let yaml = """
                spool: {path: spool}
                routes:
                  - {name: a, when: {modality: MR}, segmenter: left-atrium-compact, type: fractional, sendTo: []}
                  - {name: b, when: {modality: ES}, segmenter: polyp-compact, pictures: true, sendTo: []}
                """
            try Data(yaml.utf8).write(to: URL(fileURLWithPath: file))
            let text = try await Self.kontur("config", "check", file)
            #expect(text.status == 0 && text.output.contains("warning: route a makes FRACTIONAL SEGs: OHIF"))
            #expect(!text.output.contains("warning: route b"))
            let json = try await Self.kontur("config", "check", file, "--json")
            let object = try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any]
            let routes = try #require(object?["routes"] as? [[String: Any]])
            #expect(routes.map { $0["makes"] as? [String] } == [["SEG"], ["SEG", "pictures"]])
        }
    }

    @Test func `a good configuration ends with 0 and says what it means`() async throws {
        let file = Checkout.root.appending(path: "kontur.example.yaml").path
        let text = try await Self.kontur("config", "check", file)
        #expect(text.status == 0)
        #expect(text.output.contains("no errors"))
        #expect(text.output.contains("colonoscopy"))
        #expect(text.output.contains(/about [0-9.]+ (s|min) for 20 frames/))
        #expect(text.output.contains(/about [0-9.]+ (s|min) for 88 slices/))
        let json = try await Self.kontur("config", "check", file, "--json")
        let object = try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any]
        #expect((object?["routes"] as? [Any])?.count == 2)
        #expect((object?["hash"] as? String)?.count == 64)
    }

    @Test func `files that cannot be read get a line each, and the command ends with 1`() async throws {
        try await withTemporaryFolder { folder in
            let study = folder.appending(path: "study")
            try FileManager.default.createDirectory(at: study, withIntermediateDirectories: true)
            try Data("this is no DICOM file".utf8).write(to: study.appending(path: "text.dcm"))
            try Data().write(to: study.appending(path: "empty.dcm"))
            try Data("what lies beside images".utf8).write(to: study.appending(path: "README"))
            let output = folder.appending(path: "out").path
            let result = try await Self.kontur(
                "segment", study.path, folder.appending(path: "missing").path, "--output", output, "--json")
            #expect(result.status == 1)
            let object = try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any]
            let files = try #require(object?["files"] as? [[String: Any]])
            #expect(files.count == 4)
            #expect(files.count { $0["outcome"] as? String == "quarantined" } == 3)
            #expect(files.count { $0["outcome"] as? String == "passedOver" } == 1)
            #expect(files.allSatisfy { ($0["reason"] as? String)?.isEmpty == false })
            #expect(result.errors.contains("3 files cannot be read"))
        }
    }
}
