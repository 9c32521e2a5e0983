// SPDX-License-Identifier: Apache-2.0

public import DICOM
public import Imaging
public import Routing

/// What decides about stacks: the routes, and what they name.
public struct NodeRouting: Sendable {
    /// In order: the first that matches wins.
    public var routes: [Route]
    public var peers: [Peer]
    public var segmenters: [InstalledSegmenter]
    /// Hex SHA-256 of the configuration, kept with every decision.
    public var configurationHash: String

    public init(routes: [Route], peers: [Peer], segmenters: [InstalledSegmenter], configurationHash: String) {
        self.routes = routes
        self.peers = peers
        self.segmenters = segmenters
        self.configurationHash = configurationHash
    }

    /// What becomes of one stack.
    enum Verdict: Sendable {
        case routed(Route, InstalledSegmenter, sources: [Int], notes: [String])
        case unfit(Route, reason: String)
        case unmatched
        case undetermined
    }

    /// Decides about a stack: a pure function.
    func verdict(_ stack: Stack, _ decision: RouteDecision) -> Verdict {
        switch decision.outcome {
        case .unmatched: return .unmatched
        case .undetermined: return .undetermined
        case .routed(let name):
            guard let route = routes.first(where: { $0.name == name }) else { return .unmatched }
            guard let segmenter = segmenters.first(where: { $0.isMeant(by: route) }) else {
                return .unfit(route, reason: "no segmenter is named \(route.segmenter)")
            }
            switch stack.fit(for: segmenter.descriptor, gaps: route.gaps) {
            case .fit(let sources, let notes): return .routed(route, segmenter, sources: sources, notes: notes)
            case .unfit(let reason): return .unfit(route, reason: reason)
            }
        }
    }
}

extension InstalledSegmenter {
    /// Whether a route names it; a route that names no weights takes the first.
    fileprivate func isMeant(by route: Route) -> Bool {
        descriptor.name == route.segmenter && (route.weights == nil || route.weights == weights?.name)
    }
}
