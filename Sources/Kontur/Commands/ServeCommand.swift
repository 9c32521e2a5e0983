// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import DICOM
import Foundation
import Imaging
import Logging
import Persistence
import Pipeline
import Platform
import Routing
import Segmentation
import ServiceLifecycle
import UnixSignals

struct ServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve", abstract: "Runs the node, which receives studies, segments them and sends the results.",
        discussion: """
            The node stops within 10 s on SIGTERM and SIGINT. The next start continues unfinished work. On SIGHUP, \
            the node reads its certificates again. Log lines go to standard error. \(Formatted.disclaimer)
            """)

    @Option(
        help: ArgumentHelp("Use this configuration. Without one, the node refuses every caller.", valueName: "file"))
    var config: String?

    @Option(help: "Lowest level that is logged: trace, debug, info, notice, warning, error or critical.")
    var logLevel = ChoiceArgument(Logger.Level.info)

    func run() async throws {
        // The numerical libraries start one thread per processor when they are loaded, even if nothing calls them. The
        // node does not compute, so one thread is enough.
        CurrentProcess.restart(settingOnce: "OPENBLAS_NUM_THREADS", to: "1")
        let names = Segmenters.catalogue.map(\.name)
        let configuration =
            try config.map { try NodeConfiguration.load($0, segmenters: names) } ?? .defaults(segmenters: names)
        try configuration.checkMachine()
        try configuration.checkCertificates(toServe: true)
        let installed = try InstalledModels(configuration: configuration)
        let planner = installed.planner(for: configuration)
        try installed.check(planner, of: configuration)
        let level = logLevel.value
        let logger = Logger(label: "kontur") { LogfmtHandler(label: $0, level: level) }
        CurrentProcess.ignoreBrokenPipes()
        // From here on, a terminal that closes does not end the node.
        let hangUps = await UnixSignalsSequence(trapping: .sighup)
        let node = try await Node.start(
            NodeSettings(
                listener: configuration.listener, spool: configuration.spool, series: configuration.series,
                planner: planner, configuration: Data(configuration.text.utf8),
                configurationHash: configuration.hash, workers: configuration.workers,
                softwareVersion: KonturCommand.version),
            logger: logger)
        // A node that says that it has started stops as it should from then on.
        let stops = await UnixSignalsSequence(trapping: .sigterm, .sigint)
        announce(configuration, node, to: logger)
        var group = ServiceGroupConfiguration(
            services: [
                .init(service: node), .init(service: CertificateReloading(hangUps: hangUps, node: node)),
                .init(
                    service: StopOnSignal(signals: stops), successTerminationBehavior: .gracefullyShutdownGroup),
            ],
            logger: logger)
        group.maximumGracefulShutdownDuration = .seconds(8)
        group.maximumCancellationDuration = .seconds(2)
        try await ServiceGroup(configuration: group).run()
        logger.notice("node stopped")
    }

    private func announce(_ configuration: NodeConfiguration, _ node: Node, to logger: Logger) {
        logger.notice(
            "node started; \(Formatted.disclaimer)",
            metadata: [
                "version": "\(KonturCommand.version)", "node.ae_title": "\(configuration.listener.aeTitle)",
                "node.bind": "\(configuration.listener.bind)", "node.port": "\(node.port)",
                "node.tls_port": "\(node.securePort.map { "\($0)" } ?? "none")",
                "spool.path": "\(configuration.spool.path)", "configuration.file": "\(configuration.file ?? "none")",
                "configuration.hash": "\(configuration.hash)",
                "peers": "\(configuration.peers.map(\.name).joined(separator: ","))",
                "routes": "\(configuration.routes.map(\.name).joined(separator: ","))",
            ])
        if configuration.file == nil {
            logger.warning("started without a configuration: every caller is refused; give --config FILE")
        } else if configuration.peers.isEmpty {
            logger.warning("the configuration lacks peers: every caller is refused; add 'peers'")
        }
    }
}

/// Ends at the first signal, which stops the node.
private struct StopOnSignal: Service {
    let signals: UnixSignalsSequence

    func run() async throws {
        for await _ in signals.cancelOnGracefulShutdown() { return }
    }
}

/// Lets the node read its certificates again on each SIGHUP.
private struct CertificateReloading: Service {
    let hangUps: UnixSignalsSequence
    let node: Node

    func run() async throws {
        for await _ in hangUps.cancelOnGracefulShutdown() {
            try await DedicatedThread.run(name: "kontur-certificates") { node.reloadCertificates() }
        }
    }
}
