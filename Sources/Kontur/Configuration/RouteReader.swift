// SPDX-License-Identifier: Apache-2.0

import DICOM
import Imaging
package import Routing
import Segmentation

/// The place of a route in the configuration, for errors that are found after reading it.
package struct RoutePlace: Sendable, Hashable {
    /// The value of `segmenter`.
    package var segmenter: ConfigurationPlace
    /// The value of `weights`; `nil` if the route does not name any.
    package var weights: ConfigurationPlace?
}

/// Reads the section `routes`.
enum RouteReader {
    typealias PlacedRoute = (route: Route, place: RoutePlace)

    static func routes(
        _ node: ConfigurationNode?, peers: [PeerReader.ReadPeer], segmenters: [String]
    ) -> [PlacedRoute] {
        var names: [String] = []
        var routes: [PlacedRoute] = []
        var reach = RouteReach()
        for element in node?.elements(expecting: "routes with name, when, segmenter and sendTo") ?? [] {
            let section = element.section([
                "name", "when", "segmenter", "weights", "margin", "shift", "recipe", "promptEvery", "sendTo", "gaps",
                "framesPerSecond", "type", "report", "pictures", "reviewBelow", "onLowConfidence",
            ])
            let name = section.required("name", "the audit trail names the route by it")?.name
            if let name, names.contains(name) { section["name"]?.complain("an earlier route has this name") }
            name.map { names.append($0) }
            let when = section.required("when", "conditions such as {modality: [MR]}").map(conditions) ?? []
            if let name, !when.isEmpty, let place = section["when"] {
                let takers = reach.add(name, when: place.value).map { "'\($0)'" }
                if !takers.isEmpty {
                    place.complain(
                        "no stack reaches this route: \(takers.joined(separator: " and ")) above takes every stack "
                            + "that matches; move this route up, or remove it")
                }
            }
            let segmenter = section.required("segmenter", "one of \(segmenters.joined(separator: ", "))")?
                .scalar(expecting: "a segmenter: \(segmenters.alternatives)") { segmenters.contains($0) ? $0 : nil }
            let weights = section["weights"]?.name
            let options = options(section, segmenter: segmenter)
            let sendTo =
                section.required("sendTo", "a list of peers; [] keeps the result in the spool")
                .map { receivers($0, peers: peers) } ?? []
            let gaps =
                section["gaps"]?.scalar(expecting: "refuse or mark") { VolumeAssembly.Gaps(rawValue: $0) } ?? .refuse
            let framesPerSecond = section["framesPerSecond"]?.scalar(
                expecting: "a number of frames per second, above 0 and at most 1000"
            ) { text in Double(text).flatMap { $0 > 0 && $0 <= 1000 ? $0 : nil } }
            let type = section["type"]?.choice(SegmentationType.self) ?? .binary
            let labelMaps = peers.map(\.peer).filter { sendTo.contains($0.name) && $0.viewerProfile == .labelmap }
            if type == .fractional, let peer = labelMaps.first {
                section["type"]?.complain(
                    "peer '\(peer.name)' gets label maps, which do not hold probabilities: send fractional SEGs to "
                        + "peers with another viewerProfile")
            }
            let report = section["report"]?.flag ?? false
            let pictures = section["pictures"]?.flag ?? false
            let review = review(section)
            guard let name, let segmenter, let place = section["segmenter"]?.place else { continue }
            let route = Route(
                name: name, when: when, segmenter: segmenter, weights: weights, options: options, sendTo: sendTo,
                gaps: gaps, framesPerSecond: framesPerSecond, type: type, report: report, pictures: pictures,
                review: review)
            routes.append((route, RoutePlace(segmenter: place, weights: section["weights"]?.place)))
        }
        return routes
    }

    /// The parameters of the recipe that a route sets; complains about each that the segmenter does not take.
    private static func options(_ section: ConfigurationSection, segmenter: String?) -> SegmenterOptions {
        var options = SegmenterOptions.none
        let entry = segmenter.flatMap { try? Segmenters.entry($0) }
        for (key, member) in [("margin", \SegmenterOptions.margin), ("shift", \SegmenterOptions.shift)] {
            guard let place = section[key],
                let value = place.scalar(
                    expecting: "a number of pixels of the network's input",
                    { Double($0).flatMap { $0.isFinite ? $0 : nil } })
            else { continue }
            set(value, member, place, entry, &options)
        }
        if let place = section["recipe"], let value = place.name { set(value, \.recipe, place, entry, &options) }
        if let place = section["promptEvery"],
            let value = place.scalar(expecting: "a number of slices of at least 1", { Int($0) })
        {
            set(value, \.promptEvery, place, entry, &options)
        }
        return options
    }

    /// Sets one option, or complains if the segmenter does not take it.
    private static func set<Value>(
        _ value: Value, _ member: WritableKeyPath<SegmenterOptions, Value?>, _ place: ConfigurationNode,
        _ entry: SegmenterEntry?, _ options: inout SegmenterOptions
    ) {
        var alone = SegmenterOptions.none
        alone[keyPath: member] = value
        do {
            try entry?.check(alone)
            options[keyPath: member] = value
        } catch {
            place.complain(error.description(\.routeKey))
        }
    }

    /// The review rule of `reviewBelow` and `onLowConfidence`; the action is `mark` unless the route names another.
    private static func review(_ section: ConfigurationSection) -> ReviewRule? {
        let action = section["onLowConfidence"]?.choice(ReviewRule.Action.self)
        guard let threshold = section["reviewBelow"] else {
            section["onLowConfidence"]?.complain(
                "'reviewBelow' is missing: the confidence, 0 to 1, below which it applies")
            return nil
        }
        let below = threshold.scalar(expecting: "a confidence, above 0 and at most 1") { text in
            Double(text).flatMap { $0 > 0 && $0 <= 1 ? $0 : nil }
        }
        return below.map { ReviewRule(below: $0, action: action ?? .mark) }
    }

    private static func receivers(_ node: ConfigurationNode, peers: [PeerReader.ReadPeer]) -> [String] {
        var names: [String] = []
        for element in node.elements(expecting: "names of peers") {
            guard let name = element.text(expecting: "the name of a peer") else { continue }
            guard let named = peers.first(where: { $0.peer.name == name }) else {
                element.complain(unknownPeer(name, peers.map(\.peer.name)))
                continue
            }
            if names.contains(name) { element.complain("the list names '\(name)' twice") }
            if named.isComplete, !named.peer.isCallable {
                element.complain("peer '\(name)' has no 'host' and 'port', so nothing can be sent to it")
            }
            names.append(name)
        }
        return names
    }

    private static func unknownPeer(_ name: String, _ known: [String]) -> String {
        known.isEmpty
            ? "unknown peer '\(name)'; the configuration has no peers: add it under 'peers'"
            : "unknown peer '\(name)'; \(Spelling.advice(for: name, among: known))"
    }

    private static func conditions(_ node: ConfigurationNode) -> [ConditionSet] {
        do {
            return try ConditionSet.alternatives(node.value)
        } catch {
            for problem in error.problems { node.problems.add(problem.place, problem.reason) }
            return []
        }
    }
}
