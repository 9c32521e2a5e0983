// SPDX-License-Identifier: Apache-2.0

public import DICOM
public import Imaging
public import Routing

/// What decides about stacks: the routes, and what they name.
public struct NodeRouting: Sendable {
    /// In order: the first that matches wins.
    public var routes: [Route]
    public var peers: [Peer]
    public var segmenters: [SegmenterDescriptor]
    /// Hex SHA-256 of the configuration, kept with every decision.
    public var configurationHash: String

    public init(routes: [Route], peers: [Peer], segmenters: [SegmenterDescriptor], configurationHash: String) {
        self.routes = routes
        self.peers = peers
        self.segmenters = segmenters
        self.configurationHash = configurationHash
    }

    /// What becomes of one stack.
    enum Verdict: Sendable {
        case routed(Route, SegmenterDescriptor, sources: [Int], notes: [String])
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
            guard let segmenter = segmenters.first(where: { $0.name == route.segmenter }) else {
                return .unfit(route, reason: "no segmenter is named \(route.segmenter)")
            }
            switch stack.fit(for: segmenter, gaps: route.gaps) {
            case .fit(let sources, let notes): return .routed(route, segmenter, sources: sources, notes: notes)
            case .unfit(let reason): return .unfit(route, reason: reason)
            }
        }
    }
}
