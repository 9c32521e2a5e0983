// SPDX-License-Identifier: Apache-2.0

import DICOM
import Imaging
import Routing
import Segmentation
import Yams

/// Where a route stands in the configuration, for complaints that come after reading it.
package struct RoutePlace: Sendable, Hashable {
    package var segmenter: ConfigurationPlace
    /// The value of `weights`, if there is one.
    package var weights: ConfigurationPlace?
}

/// Reads `routes:`.
enum RouteReader {
    typealias Found = (route: Route, place: RoutePlace)

    static func routes(
        _ node: ConfigurationNode?, peers: [PeerReader.Named], segmenters: [String]
    ) -> [Found] {
        var names: [String] = []
        var routes: [Found] = []
        for element in node?.elements(expecting: "routes with name, when, segmenter and sendTo") ?? [] {
            let section = element.section([
                "name", "when", "segmenter", "weights", "margin", "shift", "sendTo", "gaps", "type", "reviewBelow",
                "onLowConfidence",
            ])
            let name = section.required("name", "the audit trail names the route by it")?.name
            if let name, names.contains(name) { section["name"]?.complain("a route of this name stands above") }
            name.map { names.append($0) }
            let when = section.required("when", "conditions such as {modality: [MR]}").map(conditions) ?? []
            let segmenter = section.required("segmenter", "one of \(segmenters.joined(separator: ", "))")?
                .value(expecting: "a segmenter: \(segmenters.alternatives)") { segmenters.contains($0) ? $0 : nil }
            let weights = section["weights"]?.name
            let options = options(section, segmenter: segmenter)
            let sendTo =
                section.required("sendTo", "a list of peers; [] keeps the result in the spool")
                .map { receivers($0, peers: peers) } ?? []
            let gaps =
                section["gaps"]?.value(expecting: "refuse or mark") { VolumeAssembly.Gaps(rawValue: $0) } ?? .refuse
            let type = section["type"]?.word(SegmentationType.self) ?? .binary
            let review = review(section)
            guard let name, let segmenter, let place = section["segmenter"]?.place else { continue }
            let route = Route(
                name: name, when: when, segmenter: segmenter, weights: weights, options: options, sendTo: sendTo,
                gaps: gaps, type: type, review: review)
            routes.append((route, RoutePlace(segmenter: place, weights: section["weights"]?.place)))
        }
        return routes
    }

    /// The parameters of the recipe that a route sets; each must be one that the segmenter takes.
    private static func options(_ section: ConfigurationSection, segmenter: String?) -> SegmenterOptions {
        var options = SegmenterOptions.none
        let entry = segmenter.flatMap { try? Segmenters.entry($0) }
        for (key, member) in [("margin", \SegmenterOptions.margin), ("shift", \SegmenterOptions.shift)] {
            guard let place = section[key],
                let value = place.value(
                    expecting: "a number of pixels of the network's input",
                    { Double($0).flatMap { $0.isFinite ? $0 : nil } })
            else { continue }
            var alone = SegmenterOptions.none
            alone[keyPath: member] = value
            do {
                try entry?.check(alone)
                options[keyPath: member] = value
            } catch {
                place.complain("\(error)")
            }
        }
        return options
    }

    /// `reviewBelow` with `onLowConfidence`, which is `mark` unless it says otherwise.
    private static func review(_ section: ConfigurationSection) -> ReviewRule? {
        let action = section["onLowConfidence"]?.word(ReviewRule.Action.self)
        guard let threshold = section["reviewBelow"] else {
            section["onLowConfidence"]?.complain(
                "'reviewBelow' is missing: the confidence, 0 to 1, below which it applies")
            return nil
        }
        let below = threshold.value(expecting: "a confidence, above 0 and at most 1") { text in
            Double(text).flatMap { $0 > 0 && $0 <= 1 ? $0 : nil }
        }
        return below.map { ReviewRule(below: $0, action: action ?? .mark) }
    }

    private static func receivers(_ node: ConfigurationNode, peers: [PeerReader.Named]) -> [String] {
        var names: [String] = []
        for element in node.elements(expecting: "names of peers") {
            guard let name = element.text(expecting: "the name of a peer") else { continue }
            guard let named = peers.first(where: { $0.peer.name == name }) else {
                element.complain(unknownPeer(name, peers.map(\.peer.name)))
                continue
            }
            if names.contains(name) { element.complain("'\(name)' stands here twice") }
            if named.isComplete, !named.peer.isCallable {
                element.complain("peer '\(name)' has no 'host' and 'port', so nothing can be sent to it")
            }
            names.append(name)
        }
        return names
    }

    private static func unknownPeer(_ name: String, _ known: [String]) -> String {
        if known.isEmpty { return "unknown peer '\(name)'; there are no peers: name it under 'peers'" }
        if let nearest = Spelling.nearest(to: name, among: known) {
            return "unknown peer '\(name)'; did you mean '\(nearest)'?"
        }
        return "unknown peer '\(name)'; known are \(known.joined(separator: ", "))"
    }

    // MARK: conditions

    private static func conditions(_ node: ConfigurationNode) -> [ConditionSet] {
        do {
            return try ConditionSet.alternatives(node.node.conditionValue)
        } catch {
            for problem in error.problems { node.complain(about: problem) }
            return []
        }
    }
}

extension Node {
    /// The same tree in Routing's words.
    fileprivate var conditionValue: ConditionValue {
        switch self {
        case .scalar(let scalar):
            scalar.style == .plain && ["", "~", "null"].contains(scalar.string) ? .empty : .text(scalar.string)
        case .sequence(let sequence): .list(sequence.map(\.conditionValue))
        case .mapping(let mapping): .map(mapping.map { .init($0.key.scalar?.string ?? "?", $0.value.conditionValue) })
        case .alias: .empty
        }
    }
}

extension ConfigurationNode {
    /// Finds the place that a condition's problem is about by its path.
    fileprivate func complain(about problem: ConditionProblem) {
        var place = self
        for (depth, step) in problem.path.enumerated() {
            switch (step, place.node) {
            case (.key(let name), .mapping(let mapping)):
                let isKey = problem.isAboutKey && depth == problem.path.count - 1
                guard let entry = mapping.first(where: { $0.key.scalar?.string == name }) else { break }
                place = place.child(isKey ? entry.key : entry.value, name)
            case (.index(let index), .sequence(let sequence)) where sequence.indices.contains(index):
                place = ConfigurationNode(node: sequence[index], path: "\(place.path)[\(index)]", problems: problems)
            default: break
            }
        }
        place.complain(problem.reason)
    }
}
