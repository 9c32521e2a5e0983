// SPDX-License-Identifier: Apache-2.0

package import DICOM
import Foundation
package import Persistence
package import Pipeline
package import Routing

/// The whole configuration, checked: one YAML file.
package struct NodeConfiguration: Sendable {
    /// The peers among it: all that may call us, or that we may call.
    package var listener: ListenerConfiguration
    /// How many stacks are segmented at once.
    package var workers: Int
    package var spool: SpoolConfiguration
    package var series: SeriesConfiguration
    package var routes: [Route]
    /// Folder of installed weights, absolute.
    package var models: String
    /// Where each route stands in the file, by its name.
    package var places: [String: RoutePlace]
    /// SHA-256 of what the file means, hexadecimal; of an empty file when there is none.
    package var hash: String
    /// The file's text.
    package var text: String
    /// The file it was read from.
    package var file: String?

    package var peers: [Peer] { listener.peers }

    /// What holds without a file: no peers, no routes, the port and title of the documentation.
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

    /// Reads and checks a file.
    ///
    /// - Parameter segmenters: the names there are.
    /// - Throws: `ConfigurationError` with everything that is wrong in it; relative paths in it start at its folder.
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

    /// - Parameters:
    ///   - file: its name in error messages.
    ///   - folder: where relative paths start.
    package init(
        yaml: String, file: String, folder: String, segmenters: [String]
    ) throws(ConfigurationError) {
        let problems = ProblemList(file: file)
        let root = try ConfigurationNode.root(yaml, problems: problems)
        let sections = root.section(["node", "peers", "spool", "series", "models", "routes"])
        let peers = PeerReader.peers(sections["peers"])
        let node = NodeReader(sections["node"], peers: peers.map(\.peer))
        listener = node.listener
        workers = node.workers
        spool = SpoolReader.spool(sections["spool"], folder: folder)
        series = SeriesReader.series(sections["series"])
        models = ModelsReader.folder(sections["models"], folder: folder, spool: spool.path)
        let found = RouteReader.routes(sections["routes"], peers: peers, segmenters: segmenters)
        routes = found.map(\.route)
        places = Dictionary(found.map { ($0.route.name, $0.place) }) { first, _ in first }
        hash = ConfigurationHash.hash(root.node)
        text = yaml
        self.file = file
        try problems.check()
    }
}
