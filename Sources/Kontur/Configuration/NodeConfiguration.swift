// SPDX-License-Identifier: Apache-2.0

package import DICOM
import Foundation
package import Persistence
package import Pipeline
package import Routing

/// The checked content of a configuration file.
package struct NodeConfiguration: Sendable {
    /// How the node listens, with all peers that may call it or be called.
    package var listener: ListenerConfiguration
    /// The number of stacks that are segmented at once.
    package var workers: Int
    /// The folder of the spool, its limits and its retention.
    package var spool: SpoolConfiguration
    /// How long a series waits for more instances.
    package var series: SeriesConfiguration
    /// In the order of the file: the first route that matches takes a stack.
    package var routes: [Route]
    /// Absolute path of the folder of installed weights.
    package var models: String
    /// The place of `spool.path` in the file, or of the section `spool`.
    package var spoolPlace: ConfigurationPlace
    /// The place of each route in the file, by the name of the route.
    package var places: [String: RoutePlace]
    /// The places of settings that depend on the machine.
    let machinePlaces: MachinePlaces
    /// SHA-256 of the meaning of the file, 64 hexadecimal digits.
    ///
    /// Without a file, it is the hash of an empty file.
    package var hash: String
    /// The file's text.
    package var text: String
    /// The path of the file; `nil` without one.
    package var file: String?

    /// All peers that may call the node or be called.
    package var peers: [Peer] { listener.peers }

    /// The configuration without a file: no peers, no routes, and the default port and AE title.
    package static func defaults(segmenters: [String]) -> NodeConfiguration {
        do {
            return try NodeConfiguration(yaml: "", file: "", folder: ".", segmenters: segmenters).withoutFile
        } catch {
            preconditionFailure("an empty configuration is valid: \(error)")
        }
    }

    private var withoutFile: NodeConfiguration {
        var copy = self
        copy.file = nil
        return copy
    }

    /// The configuration of a command that works without a node: the content of `file`, or the built-in routes if
    /// `file` is `nil`.
    ///
    /// - Throws: `ConfigurationError` with every error in the file.
    static func offline(_ file: String?, segmenters: [String]) throws(ConfigurationError) -> NodeConfiguration {
        if let file { return try load(file, segmenters: segmenters) }
        return try NodeConfiguration(
            yaml: BuiltInRoutes.yaml, file: "built-in routes", folder: ".", segmenters: segmenters
        ).withoutFile
    }

    /// Reads and checks a file.
    ///
    /// Relative paths in the file start at its folder.
    ///
    /// - Parameters:
    ///   - file: the path of the file.
    ///   - segmenters: the names of all segmenters.
    /// - Returns: the configuration; weights that are not installed are not checked here.
    /// - Throws: `ConfigurationError` with every error in the file.
    package static func load(_ file: String, segmenters: [String]) throws(ConfigurationError) -> NodeConfiguration {
        let problem: String
        if let data = FileManager.default.contents(atPath: file) {
            if let text = String(data: data, encoding: .utf8) {
                let folder = URL(fileURLWithPath: file).deletingLastPathComponent().path
                return try NodeConfiguration(yaml: text, file: file, folder: folder, segmenters: segmenters)
            }
            problem = "not UTF-8 text"
        } else {
            problem = "cannot be read; give the path of a configuration, such as a copy of kontur.example.yaml"
        }
        throw ConfigurationError(problems: [
            ConfigurationProblem(file: file, line: 1, column: 1, path: "", reason: problem)
        ])
    }

    /// Checks whether the spool's folder may be used, without changing it.
    ///
    /// - Throws: `ConfigurationError` at `spool.path` if the folder belongs to somebody else.
    package func checkSpool() throws(ConfigurationError) {
        do throws(SpoolError) { try Spool.check(spool) } catch {
            let problems = ProblemList(file: file ?? "built-in configuration")
            problems.add(spoolPlace, "\(error)")
            try problems.check()
        }
    }

    /// Checks a text.
    ///
    /// - Parameters:
    ///   - yaml: the text of the file.
    ///   - file: the name of the file in error messages.
    ///   - folder: the folder where relative paths start.
    ///   - segmenters: the names of all segmenters.
    /// - Throws: `ConfigurationError` with every error in the text.
    package init(
        yaml: String, file: String, folder: String, segmenters: [String]
    ) throws(ConfigurationError) {
        let problems = ProblemList(file: file)
        let value = try ConfigurationFile.read(yaml, problems: problems)
        let sections = ConfigurationNode(value: value, problems: problems).section([
            "node", "peers", "spool", "series", "models", "routes",
        ])
        let peers = PeerReader.peers(sections["peers"])
        let node = NodeReader(sections["node"], peers: peers.map(\.peer), folder: folder)
        listener = node.listener
        workers = node.workers
        spool = SpoolReader.spool(sections["spool"], folder: folder)
        spoolPlace = SpoolReader.place(sections["spool"])
        machinePlaces = MachinePlaces(node: sections["node"], spool: sections["spool"], peers: peers)
        TLSReader.check(peers, listener.tls, problems)
        series = SeriesReader.series(sections["series"])
        models = ModelsReader.folder(sections["models"], folder: folder, spool: spool.path)
        let found = RouteReader.routes(sections["routes"], peers: peers, segmenters: segmenters)
        routes = found.map(\.route)
        places = Dictionary(found.map { ($0.route.name, $0.place) }) { first, _ in first }
        hash = value.meaningHash
        text = yaml
        self.file = file
        try problems.check()
    }
}

/// The routes of `kontur segment` and `kontur route explain` if the command line does not name a configuration.
private enum BuiltInRoutes {
    static let yaml = """
        routes:
          - name: colonoscopy
            when:
              - {modality: [ES]}
              - {sopClass: [VLEndoscopicImageStorage, VideoEndoscopicImageStorage]}
              - {modality: [XC, OT, GM, US], studyDescription: {matches: "\(scopes)"}}
              - {modality: [XC, OT, GM, US], seriesDescription: {matches: "\(scopes)"}}
            segmenter: polyp-compact
            sendTo: []
          - name: left-atrium
            when:
              - modality: [MR]
                numberOfFrames: {min: 20}
                seriesDescription: {matches: "\(words)"}
                not: {imageType: [\(others)]}
              - modality: [MR]
                numberOfFrames: {min: 20}
                studyDescription: {matches: "\(words)"}
                not: {imageType: [\(others)]}
            segmenter: left-atrium-compact
            sendTo: []
            reviewBelow: 0.8
            onLowConfidence: mark
        """

    /// Values of Image Type of images that are neither magnitude nor PSIR nor averages of them.
    private static let others =
        "P, PHASE, PHASE MAP, P_IR, P_FFE, P_SE, I, IMAGINARY, I_IR, I_FFE, I_SE, T1 MAP, T2 MAP, ECV MAP, "
        + "PROJECTION IMAGE, LOCALIZER"
    /// Capture boxes send frames of an endoscope as photographs, captures, microscopy or ultrasound.
    private static let scopes = "(?i)[ck]olo(no)?s[ck]o|sigmoidos[ck]o|re[ck]tos[ck]o|pro[ck]tos[ck]o|ileos[ck]o"
    private static let words = "(?i)LGE|PSIR|late.?gad|delayed.?enh"
}
