// SPDX-License-Identifier: Apache-2.0
//
// The built executable against real peers. What is checked, and how, is in `conformance/checks`, where each check can
// be run by hand; a check ends with 0 (passed), 1 (failed) or 77 (skipped).

import Foundation
import TestSupport
import Testing

/// Whether the long versions run too: `KONTUR_LONG=1`.
private let long = ProcessInfo.processInfo.environment["KONTUR_LONG"] == "1"
private let onlyLong: Comment = "takes long: set KONTUR_LONG=1"

/// Whether strace may follow a process here.
private func canTrace() async -> Bool {
    (try? await runExternal("strace", ["-f", "-o", "/dev/null", "true"], within: 10))?.status == 0
}

/// Whether the rules of the viewers can run.
private func hasNode() async -> Bool {
    (try? await runExternal("node", ["--version"], within: 10))?.status == 0
}

/// Whether the library that fakes the clock is installed.
private func canFakeTheClock() -> Bool {
    let folders = (try? FileManager.default.contentsOfDirectory(atPath: "/usr/lib")) ?? []
    return folders.contains { FileManager.default.fileExists(atPath: "/usr/lib/\($0)/faketime/libfaketimeMT.so.1") }
}

/// Runs one of `conformance/checks` and expects it to pass.
private func passes(
    _ check: String, _ arguments: [String] = [], within seconds: Int, _ location: SourceLocation = #_sourceLocation
) async throws {
    var environment = ["KONTUR_EXECUTABLE": Executables.kontur]
    if let data = Checkout.data { environment["KONTUR_DATA"] = data.path }
    let script = Checkout.conformance.appending(path: "checks/\(check).py").path
    let result = try await runExternal(
        Executables.python, [script] + arguments, environment: environment, within: seconds)
    #expect(result.status == 0, "\(check): \(result.tail)", sourceLocation: location)
}

/// Everything here runs one after the other: the checks measure time, on machines with two cores.
@Suite(.serialized)
enum EndToEndTests {}

extension EndToEndTests {
    @Suite(.serialized) struct Peers {
        @Test func `studies that the archive forwards by itself come back as segmentations that every reader places`()
            async throws
        {
            try await passes("forwarding", within: 240)
        }

        @Test func `each viewer profile and type passes every reader at sizes that are no multiples of 8`() async throws
        {
            try await passes("profiles", within: 240)
        }

        @Test func `JPEG 2000 and video arrive and give the masks of an uncompressed still, in the right frames`()
            async throws
        {
            try await passes("formats", within: 240)
        }

        @Test func `series of real scanners become stacks, and their SEGs lie in the right frames`() async throws {
            try await passes("stacks", within: 120)
        }

        @Test func `pictures show the contours of their SEGs pixel by pixel, once each, also if the node is killed`()
            async throws
        {
            try await passes("pictures", within: 240)
        }

        @Test func `reports go with the SEGs, say what is absent, and hold the numbers that other programs compute`()
            async throws
        {
            try await passes("measurements", within: 240)
        }

        @Test(.enabled("needs node") { await hasNode() })
        func `OHIF, Weasis and dwv draw the masks of each profile as the table says`() async throws {
            try await passes("viewers", within: 120)
        }

        @Test func `archives of Implicit VR, short PDUs and few classes get what they take, with the same values`()
            async throws
        {
            try await passes("archives", within: 120)
        }

        @Test func `an archive that forwards back what it receives makes no second generation`() async throws {
            try await passes("loop", within: 240)
        }

        @Test func `a corrected patient gets a SEG of its own, and a study that is sent again gets the same SEG`()
            async throws
        {
            try await passes("corrections", within: 240)
        }

        @Test func `a second node is refused, and a stop takes less than ten seconds whatever is going on`()
            async throws
        {
            try await passes("lifecycle", within: 240)
        }

        @Test func `hostile clients do not keep others from a C-ECHO within a second`() async throws {
            try await passes("attacks", long ? ["--long"] : [], within: 240)
        }

        @Test
        func `strangers use up neither descriptors nor log, and peers with large requests or small PDUs are served`()
            async throws
        {
            try await passes("door", within: 240)
        }

        @Test func `a receiver that is killed, blocked or attacked costs one association and leaves nothing behind`()
            async throws
        {
            try await passes("receivers", long ? ["--long"] : [], within: long ? 1200 : 240)
        }

        @Test func `right certificates store over TLS, and wrong ones get no association in either direction`()
            async throws
        {
            try await passes("tls", within: 240)
        }

        @Test func `storage commitment works in both roles, also if the node is killed`() async throws {
            try await passes("commitment", within: 240)
        }

        @Test func `studies that break the standard without a doubt about the image are segmented`() async throws {
            try await passes("odd_writers", within: 120)
        }

        @Test func `broken files end indexed or quarantined with a reason`() async throws {
            try await passes(
                "broken_files", long ? ["--mutations", "600", "--segment", "2000"] : [], within: long ? 3000 : 300)
        }

        @Test func `slow files and impossible numbers of one sender do not delay the series of others`() async throws {
            try await passes("fair_index", within: 200)
        }

        @Test func `no log, file name, record or status tells who the patient is`() async throws {
            try await passes("privacy", within: 240)
        }

        @Test func `the audit trail names the first record that was tampered with`() async throws {
            try await passes("audit_trail", within: 240)
        }
    }
}

/// Segmenters on weights that a site installs, with drawn ones.
extension EndToEndTests {
    @Suite(.serialized) struct Installed {
        @Test func `installed weights serve a route from C-STORE to the SEG in the archive`() async throws {
            try await passes("promptable", within: 240)
        }

        @Test func `odd images and prompts get a result or a clear error`() async throws {
            try await passes("bad_input", within: 300)
        }
    }
}

/// Invariants 1 to 3 of docs/design.md, from outside.
extension EndToEndTests {
    @Suite(.serialized) struct Durability {
        @Test(.enabled("needs strace and the permission to trace") { await canTrace() })
        func `file, folder and journal are synced before each success, also when calls are late or fail`() async throws
        {
            try await passes("durability", within: 300)
        }

        @Test(.enabled(if: getuid() == 0, "needs root"))
        func `a full disk can be looked at, and a start makes room`() async throws {
            try await passes("full_disk", within: 240)
        }

        @Test func `a lost database and a folder of somebody else cost no file`() async throws {
            try await passes("spool", within: 120)
        }

        @Test func `killing the node loses nothing that was acknowledged, and doubles nothing`() async throws {
            let short = ["--kills", "6", "--series", "2", "--slices", "60", "--quiet", "6"]
            let whole = ["--kills", "30", "--series", "5", "--slices", "100", "--quiet", "20"]
            try await passes("kills", long ? whole : short, within: long ? 1200 : 300)
        }

        @Test func `corrected, moved and repeated studies keep the right SEG and every file, whatever is killed`()
            async throws
        {
            let whole = ["--kills", "30", "--series", "5", "--slices", "100", "--quiet", "6", "--sweep"]
            try await passes("kept", long ? whole : [], within: long ? 1800 : 300)
        }

        @Test func `killing workers loses no job`() async throws {
            let short = ["--victim", "worker", "--kills", "8", "--series", "2", "--slices", "60", "--quiet", "4"]
            let whole = ["--victim", "worker", "--kills", "30", "--series", "5", "--slices", "100", "--quiet", "20"]
            try await passes("kills", long ? whole : short, within: long ? 1200 : 300)
        }

        @Test(.enabled(if: long, onlyLong))
        func `with a short quiet time the newest revision refers to all instances`() async throws {
            try await passes(
                "kills", ["--kills", "30", "--series", "5", "--slices", "100", "--quiet", "1", "--revisions"],
                within: 1200)
        }

        @Test(.enabled(if: canFakeTheClock(), "needs libfaketime"))
        func `nothing closes early or hangs when the clock jumps by a year`() async throws {
            try await passes("clock", within: 240)
        }
    }
}

/// What takes minutes or data that is not in the package.
extension EndToEndTests {
    @Suite(.serialized) struct Long {
        @Test func `the status of a spool with 100,000 instances takes less than 200 ms`() async throws {
            try await passes("many", long ? ["--sent", "100000"] : [], within: long ? 2400 : 240)
        }

        @Test(.enabled(if: long && Checkout.data != nil, "needs labelled cases in KONTUR_DATA, and KONTUR_LONG=1"))
        func `segmentations that come back reach the floors of Dice`() async throws {
            try await passes("accuracy", within: 3000)
        }
    }
}
