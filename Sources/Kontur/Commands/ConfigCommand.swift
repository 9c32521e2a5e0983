// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Associations
import DICOM
import Imaging
import Inference
import Persistence
import Pipeline
import Platform
import Routing
import Segmentation

struct ConfigCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "config", abstract: "Checks configurations.", subcommands: [ConfigCheckCommand.self])
}

struct ConfigCheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Reports every error in a configuration with its line, or summarizes the configuration.",
        discussion: """
            The expected time is an estimate for a study of ordinary size on this machine, if nothing else runs. Networks \
            inside the executable are run for a moment. For installed networks, the number of operations is divided by \
            the measured speed of the kernels. Receiving, decoding and sending take additional time.
            """)

    @Argument(help: ArgumentHelp("The configuration file.", valueName: "file"))
    var file: String

    @OptionGroup var models: ModelsOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        do {
            try check()
        } catch let error as ConfigurationError where output.json {
            try ReportPrinter.print(error, as: .json)
            throw ExitCode.failure
        }
    }

    private func check() throws {
        let configuration = try NodeConfiguration.load(file, segmenters: Segmenters.catalogue.map(\.name))
        try configuration.checkMachine()
        let warnings = try configuration.checkCertificates()
        let installed = try InstalledModels(folder: models.models, configuration: configuration)
        let planner = installed.planner(for: configuration)
        try installed.check(planner, of: configuration)
        try configuration.checkSpool()
        try ReportPrinter.print(ConfigurationSummary(configuration, planner, warnings: warnings), as: output.format)
    }
}

/// A summary of a configuration.
struct ConfigurationSummary: Report {
    struct PeerLine: Encodable {
        var name: String
        var aeTitle: String
        var called: String
        var from: String
        var may: [String]
        /// `TLS` or `plain`.
        var over: String
        var viewerProfile: String
    }

    struct RouteLine: Encodable {
        var name: String
        var conditions: [[String]]
        var segmenter: String
        /// The name of installed weights; `nil` for weights inside the executable.
        var weights: String?
        /// The parameters of the recipe that the route sets, one word each.
        var options: [String]
        /// An estimate for a study of ordinary size; `nil` if it cannot be made.
        var expected: ExpectedTime?
        /// The estimate in words.
        var time: String
        var sendTo: [String]
        /// The kinds of objects that the route makes: `SEG`, `report`, `pictures`.
        var makes: [String]
        var gaps: String
        var type: String
        /// Which results a person has to review.
        var review: String
    }

    var file: String?
    var hash: String
    var aeTitle: String
    var listens: String
    var spool: String
    /// Why the fastest kernels of this processor are not used; `nil` if they are.
    var kernelWarning: String?
    /// What somebody should look at.
    var warnings: [String]
    var peers: [PeerLine]
    var routes: [RouteLine]

    init(_ configuration: NodeConfiguration, _ planner: StackPlanner, warnings: [String] = []) {
        var estimator = TimeEstimator()
        file = configuration.file
        hash = configuration.hash
        aeTitle = configuration.listener.aeTitle.text
        let secure = configuration.listener.tls?.port.map { ", and \($0) for TLS" } ?? ""
        listens = "\(configuration.listener.bind) port \(configuration.listener.port)\(secure)"
        self.warnings =
            warnings
            + planner.targets.map(\.route)
            .filter { $0.type == .fractional }.map(Self.warning(ofFractional:))
        spool = configuration.spool.path
        kernelWarning = Compute.kernelWarning
        peers = configuration.peers.map { peer in
            let from = peer.from.map(\.description).joined(separator: ", ")
            return PeerLine(
                name: peer.name, aeTitle: peer.aeTitle.text,
                called: peer.isCallable ? "\(peer.host ?? ""):\(peer.port ?? 0)" : "never",
                from: from.isEmpty ? peer.host ?? "" : from, may: peer.may.map(\.rawValue).sorted(),
                over: peer.tls ? "TLS" : "plain", viewerProfile: peer.viewerProfile.rawValue)
        }
        routes = planner.targets.map { target in
            let route = target.route
            let segmenter = try? target.segmenter.get()
            let expected = segmenter.flatMap { estimator.time(of: $0) }
            return RouteLine(
                name: route.name,
                conditions: route.when.map(\.keys),
                segmenter: route.segmenter, weights: segmenter?.weights?.name, options: route.options.words,
                expected: expected,
                time: ExpectedTime.inWords(expected, accepts: segmenter?.descriptor.accepts ?? .frames),
                sendTo: route.sendTo, makes: Self.objects(of: route), gaps: route.gaps.rawValue,
                type: route.type.rawValue,
                review: route.review.map { "below \($0.below): \($0.action.rawValue)" } ?? "never")
        }
    }

    private static func objects(of route: Route) -> [String] {
        ["SEG"] + (route.report ? ["report"] : []) + (route.pictures ? ["pictures"] : [])
    }

    /// A warning about viewers that show probabilities badly.
    private static func warning(ofFractional route: Route) -> String {
        "route \(route.name) makes FRACTIONAL SEGs: OHIF does not show them, and Weasis and 3D Slicer show every pixel "
            + "above 0; 'type: binary' shows everywhere (docs/pacs.md, section 4)"
    }

    var parts: [ReportPart] {
        var parts: [ReportPart] = [
            .line("\(file ?? "no configuration"): no errors, hash \(hash)"),
            .line("\(aeTitle) listens on \(listens); spool in \(spool)"),
        ]
        if let kernelWarning { parts.append(.line("warning: \(kernelWarning)")) }
        parts += warnings.map { .line("warning: \($0)") }
        parts.append(.line(""))
        if peers.isEmpty {
            parts.append(.line("No peers: the node refuses every caller."))
        } else {
            parts.append(
                .table(
                    TextTable(
                        ["peer", "AE title", "is called at", "calls from", "over", "may", "viewer profile"].map {
                            .init($0)
                        },
                        rows: peers.map { peer in
                            let may = peer.may.isEmpty ? "nothing" : peer.may.joined(separator: ", ")
                            return [
                                peer.name, peer.aeTitle, peer.called, peer.from, peer.over, may, peer.viewerProfile,
                            ]
                        })))
        }
        parts.append(.line(""))
        if routes.isEmpty {
            parts.append(.line("No routes: stacks are received but not segmented."))
        } else {
            parts.append(
                .table(
                    TextTable(
                        [
                            "route", "conditions", "segmenter", "weights", "expected time", "makes", "sends to", "gaps",
                            "type", "review",
                        ].map { .init($0) },
                        rows: routes.map { route in
                            let conditions = route.conditions.map { $0.joined(separator: " and ") }
                            return [
                                route.name, conditions.joined(separator: "; or "),
                                ([route.segmenter] + route.options).joined(separator: " "), route.weights ?? "inside",
                                route.time, route.makes.joined(separator: ", "),
                                route.sendTo.isEmpty ? "nobody" : route.sendTo.joined(separator: ", "), route.gaps,
                                route.type, route.review,
                            ]
                        })))
        }
        return parts
    }
}
