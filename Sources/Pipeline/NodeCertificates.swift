// SPDX-License-Identifier: Apache-2.0

public import Associations
import Foundation
public import Logging
public import ServiceLifecycle

/// The certificates and keys with which the node speaks TLS.
///
/// They are read at the start and at each `reload`, and handed to the processes that speak with peers. A reload that
/// fails leaves the last ones in force. Every day, the log tells which certificate ends soon.
public final class NodeCertificates: Service {
    /// How often the dates of certificates are looked at.
    private static let interval: Duration = .seconds(86_400)

    private let settings: TLSSettings
    private let logger: Logger
    private let apply: @Sendable (TLSCredentials) -> Void

    /// Reads the files.
    ///
    /// - Parameters:
    ///   - settings: the files.
    ///   - logger: receives a message for each thing that is wrong with them.
    ///   - apply: hands new credentials to the processes; may be called from any thread.
    /// - Throws: ``UnusableCertificates`` if TLS cannot be set up.
    public init(
        _ settings: TLSSettings, logger: Logger, apply: @escaping @Sendable (TLSCredentials) -> Void
    ) throws(UnusableCertificates) {
        self.settings = settings
        self.logger = logger
        self.apply = apply
        let examination = TLSExamination(settings)
        report(examination)
        guard let credentials = examination.credentials else {
            let reasons = examination.findings.filter { $0.severity == .unusable }
            throw UnusableCertificates(reasons: reasons.map { "node.tls.\($0.setting): \($0.text)" })
        }
        apply(credentials)
    }

    /// Reads the files again, for the associations that begin from now on.
    public func reload() {
        let examination = TLSExamination(settings)
        report(examination)
        guard let credentials = examination.credentials else {
            logger.error("the certificates could not be read again; the last ones stay in force")
            return
        }
        apply(credentials)
        logger.notice("certificates read again for new associations")
    }

    /// Looks at the dates every day, until a graceful shutdown or a cancellation.
    public func run() async throws {
        try? await cancelWhenGracefulShutdown { [self] in
            while true {
                try await Task.sleep(for: Self.interval)
                report(TLSExamination(settings))
            }
        }
    }

    private func report(_ examination: TLSExamination) {
        for finding in examination.findings {
            logger.log(
                level: finding.severity == .warning ? .warning : .error, "certificates need attention",
                metadata: ["setting": "node.tls.\(finding.setting)", "reason": "\(finding.text)"])
        }
    }
}

/// TLS cannot be set up.
public struct UnusableCertificates: Error, Sendable, Equatable, CustomStringConvertible {
    /// What is wrong with the files, and what to do.
    public let reasons: [String]

    public var description: String { "could not set up TLS: \(reasons.joined(separator: "; "))" }
}
