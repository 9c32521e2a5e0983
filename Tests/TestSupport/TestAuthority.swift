// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A certificate authority in a folder of its own, made with the `openssl` tool. The folder goes with the object.
public final class TestAuthority: Sendable {
    /// The files of a certificate and its private key, which is not encrypted and has mode 0600.
    public struct Pair: Sendable {
        public let certificate: String
        public let key: String

        /// Pairs two files.
        public init(certificate: String, key: String) {
            self.certificate = certificate
            self.key = key
        }
    }

    /// The folder of all files.
    public let folder: String
    /// The authority's certificate and key.
    public let pair: Pair
    private let name: String

    /// - Parameters:
    ///   - name: the Common Name; the Organization is `Clinic`.
    ///   - parent: the authority that issues the certificate; `nil` for a root.
    public init(_ name: String = "root", under parent: TestAuthority? = nil) throws {
        self.name = name
        folder = FileManager.default.temporaryDirectory.appendingPathComponent("authority-\(UUID())").path
        try FileManager.default.createDirectory(atPath: "\(folder)/issued", withIntermediateDirectories: true)
        pair = Pair(certificate: "\(folder)/\(name).pem", key: "\(folder)/\(name).key")
        for (file, text) in [("index", ""), ("serial", "1000\n"), ("number", "01\n")] {
            try text.write(toFile: "\(folder)/\(file)", atomically: true, encoding: .utf8)
        }
        let configuration = """
            [ca]
            default_ca = own
            [own]
            database = \(folder)/index
            serial = \(folder)/serial
            crlnumber = \(folder)/number
            new_certs_dir = \(folder)/issued
            certificate = \(pair.certificate)
            private_key = \(pair.key)
            default_md = sha256
            policy = any
            copy_extensions = copy
            unique_subject = no
            [any]
            organizationName = optional
            commonName = supplied
            """
        try configuration.write(toFile: "\(folder)/openssl.cnf", atomically: true, encoding: .utf8)
        let extensions = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign"]
        if let parent {
            let issued = try parent.issue(name, extensions: extensions)
            for (from, to) in [(issued.certificate, pair.certificate), (issued.key, pair.key)] {
                try FileManager.default.copyItem(atPath: from, toPath: to)
            }
        } else {
            try makeKey(pair.key, "ec")
            try openssl(
                ["req", "-x509", "-new", "-key", pair.key, "-sha256", "-days", "3650", "-subj", "/O=Clinic/CN=\(name)"]
                    + extensions.flatMap { ["-addext", $0] } + ["-out", pair.certificate])
        }
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    /// Issues a certificate.
    ///
    /// - Parameters:
    ///   - name: the Common Name, and the name of the files.
    ///   - key: `ec` (P-256), or the bits of an RSA key.
    ///   - days: the first and the last day of the validity, from now.
    ///   - extensions: as `openssl req -addext` takes them.
    public func issue(
        _ name: String, key: String = "ec", days: ClosedRange<Double> = -1...365,
        extensions: [String] = ["subjectAltName=DNS:localhost,IP:127.0.0.1"]
    ) throws -> Pair {
        let issued = Pair(certificate: "\(folder)/\(name).pem", key: "\(folder)/\(name).key")
        try makeKey(issued.key, key)
        try openssl(
            ["req", "-new", "-key", issued.key, "-subj", "/O=Clinic/CN=\(name)"]
                + extensions.flatMap { ["-addext", $0] } + ["-out", "\(folder)/\(name).csr"])
        try openssl([
            "ca", "-batch", "-notext", "-config", "\(folder)/openssl.cnf", "-in", "\(folder)/\(name).csr", "-out",
            issued.certificate, "-startdate", Self.moment(days.lowerBound), "-enddate", Self.moment(days.upperBound),
        ])
        return issued
    }

    /// A certificate that its own key has signed.
    public func selfSigned(_ name: String) throws -> Pair {
        let made = Pair(certificate: "\(folder)/\(name).pem", key: "\(folder)/\(name).key")
        try makeKey(made.key, "ec")
        try openssl([
            "req", "-x509", "-new", "-key", made.key, "-sha256", "-days", "365", "-subj", "/CN=\(name)", "-addext",
            "subjectAltName=DNS:localhost", "-out", made.certificate,
        ])
        return made
    }

    /// Writes a revocation list, and returns its path.
    ///
    /// - Parameters:
    ///   - revoking: certificates that it revokes, beside those of earlier lists.
    ///   - due: when the next list is due, in days from now.
    public func revocationList(revoking: [Pair] = [], due: Double = 30) throws -> String {
        for pair in revoking { try openssl(["ca", "-config", "\(folder)/openssl.cnf", "-revoke", pair.certificate]) }
        let path = "\(folder)/list-\(UUID()).pem"
        try openssl([
            "ca", "-gencrl", "-config", "\(folder)/openssl.cnf", "-crl_lastupdate", Self.moment(-60), "-crl_nextupdate",
            Self.moment(due), "-out", path,
        ])
        return path
    }

    /// Encrypts a private key, and returns the path of the encrypted one.
    public func encrypted(_ key: String, password: String) throws -> String {
        let path = "\(key).encrypted"
        try openssl(["pkcs8", "-topk8", "-in", key, "-v2", "aes256", "-passout", "pass:\(password)", "-out", path])
        chmod(path, 0o600)
        return path
    }

    private func makeKey(_ path: String, _ kind: String) throws {
        let choice =
            kind == "ec"
            ? ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"] : ["RSA", "-pkeyopt", "rsa_keygen_bits:\(kind)"]
        try openssl(["genpkey", "-algorithm"] + choice + ["-out", path])
        chmod(path, 0o600)
    }

    private static func moment(_ days: Double) -> String {
        let format = DateFormatter()
        format.locale = Locale(identifier: "en_US_POSIX")
        format.timeZone = TimeZone(identifier: "UTC")
        format.dateFormat = "yyyyMMddHHmmss'Z'"
        return format.string(from: Date(timeIntervalSinceNow: days * 86_400))
    }

    private struct Failure: Error {
        let arguments: [String]
        let errors: String
    }

    private func openssl(_ arguments: [String]) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/openssl")
        process.arguments = arguments
        let errors = Pipe()
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        process.standardError = errors
        try process.run()
        let text = errors.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        if process.terminationStatus != 0 {
            throw Failure(arguments: arguments, errors: String(decoding: text.suffix(500), as: UTF8.self))
        }
    }
}
