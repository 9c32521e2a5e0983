// SPDX-License-Identifier: Apache-2.0

public import Foundation

/// Folders of the checkout that the tests were built from.
public enum Checkout {
    /// The root of the repository.
    public static let root: URL = {
        var url = URL(fileURLWithPath: #filePath)
        for _ in 0..<3 { url.deleteLastPathComponent() }
        return url
    }()

    /// The generated sample studies that are committed.
    public static let samples = root.appending(path: "samples-dicom")

    /// The peers and checks that the demo, the tests and the benchmarks share.
    public static let conformance = root.appending(path: "conformance")

    /// The folder of real studies that some tests use: `KONTUR_DATA`, else `../shared/data` beside the checkout.
    ///
    /// `nil` if the folder is missing; the tests that need it are then skipped.
    public static let data: URL? = {
        let named = ProcessInfo.processInfo.environment["KONTUR_DATA"]
        let url = named.map { URL(fileURLWithPath: $0) } ?? root.appending(path: "../shared/data").standardized
        return FileManager.default.fileExists(atPath: url.path) ? url : nil
    }()

    /// The message of a test that is skipped because ``data`` is missing.
    public static let dataMissing = "needs real studies: set KONTUR_DATA to the folder that holds them"
}

/// Executables that the tests run.
public enum Executables {
    /// The built `kontur`: `KONTUR_EXECUTABLE`, else the one beside the running tests.
    public static let kontur: String = {
        if let named = ProcessInfo.processInfo.environment["KONTUR_EXECUTABLE"] { return named }
        let tests = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
        let beside = tests.appending(path: "kontur").path
        if FileManager.default.isExecutableFile(atPath: beside) { return beside }
        return Checkout.root.appending(path: ".build/release/kontur").path
    }()

    /// A Python with the packages of `conformance/requirements.txt`.
    ///
    /// It is `KONTUR_PYTHON`, else the environment that `make test` makes, else `python3`.
    public static let python: String = {
        if let named = ProcessInfo.processInfo.environment["KONTUR_PYTHON"] { return named }
        let made = Checkout.root.appending(path: ".build/venv/bin/python").path
        return FileManager.default.isExecutableFile(atPath: made) ? made : "/usr/bin/python3"
    }()
}

/// Runs `body` with a new empty folder (mode 0700) that is removed afterwards.
public func withTemporaryFolder<Result>(
    isolation: isolated (any Actor)? = #isolation, _ body: (URL) async throws -> Result
) async throws -> Result {
    let folder = FileManager.default.temporaryDirectory.appending(path: "kontur-test-\(UUID().uuidString)")
    try FileManager.default.createDirectory(
        at: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    defer { try? FileManager.default.removeItem(at: folder) }
    return try await body(folder)
}

/// Runs a body that does not wait with a new empty folder (mode 0700) that is removed afterwards.
public func withTemporaryFolder<Result>(_ body: (URL) throws -> Result) throws -> Result {
    let folder = FileManager.default.temporaryDirectory.appending(path: "kontur-test-\(UUID().uuidString)")
    try FileManager.default.createDirectory(
        at: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    defer { try? FileManager.default.removeItem(at: folder) }
    return try body(folder)
}

/// The generator SplitMix64 (Steele, Lea and Flood 2014): a seed gives the same numbers on every machine.
public struct SplitMix64: RandomNumberGenerator {
    private var state: UInt64

    /// Starts the sequence of a seed.
    public init(seed: UInt64) { state = seed }

    /// The next number of the sequence.
    public mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
