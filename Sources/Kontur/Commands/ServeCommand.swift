// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import DICOM
import Foundation
import Imaging
import Logging
import Persistence
import Pipeline
import Routing
import Segmentation
import ServiceLifecycle
import UnixSignals

struct ServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve", abstract: "Runs the node: receives, segments, sends back.",
        discussion: """
            Stops within 10 s on SIGTERM and SIGINT; what was running is taken up at the next start. Logs to standard \
            error. \(Shown.disclaimer)
            """)

    @Option(help: ArgumentHelp("The configuration; without it a node that nobody may call.", valueName: "file"))
    var config: String?

    @Option(help: "What is logged: trace, debug, info, notice, warning, error or critical.")
    var logLevel = Word(Logger.Level.info)

    func run() async throws {
        Processors.startOnce()
        let names = Segmenters.catalogue.map(\.name)
        let configuration =
            try config.map { try NodeConfiguration.load($0, segmenters: names) } ?? .defaults(segmenters: names)
        let segmenters = try InstalledModels(configuration: configuration).segmenters(of: configuration)
        let level = logLevel.value
        let logger = Logger(label: "kontur") { LogfmtHandler(label: $0, level: level) }
        Signals.ignoreBrokenPipes()
        Signals.ignoreHangUps()
        let node = try await Node.start(
            NodeSettings(
                listener: configuration.listener, spool: configuration.spool, series: configuration.series,
                routes: configuration.routes, segmenters: segmenters, configuration: Data(configuration.text.utf8),
                configurationHash: configuration.hash, workers: configuration.workers,
                softwareVersion: KonturCommand.version),
            logger: logger)
        announce(configuration, port: node.port, to: logger)
        var group = ServiceGroupConfiguration(
            services: [.init(service: node)], gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
        group.maximumGracefulShutdownDuration = .seconds(8)
        group.maximumCancellationDuration = .seconds(2)
        try await ServiceGroup(configuration: group).run()
        logger.notice("node stopped")
    }

    private func announce(_ configuration: NodeConfiguration, port: UInt16, to logger: Logger) {
        logger.notice(
            "node started; \(Shown.disclaimer)",
            metadata: [
                "version": "\(KonturCommand.version)", "node.ae_title": "\(configuration.listener.aeTitle)",
                "node.bind": "\(configuration.listener.bind)", "node.port": "\(port)",
                "spool.path": "\(configuration.spool.path)", "configuration.file": "\(configuration.file ?? "none")",
                "configuration.hash": "\(configuration.hash)",
                "peers": "\(configuration.peers.map(\.name).joined(separator: ","))",
                "routes": "\(configuration.routes.map(\.name).joined(separator: ","))",
            ])
        if configuration.file == nil {
            logger.warning("no configuration: defaults without peers, so nobody may call; give --config FILE")
        } else if configuration.peers.isEmpty {
            logger.warning("the configuration names no peers: nobody may call")
        }
    }
}
