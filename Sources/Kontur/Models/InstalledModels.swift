// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Imaging
import Inference
import Routing
import Segmentation
import Supervision

/// The weights that are installed in one folder, and the segmenters that run on them.
struct InstalledModels {
    let folder: String
    let weights: [InstalledWeights]
    /// The options of `kontur models` that name the folder, such as ` --config kontur.yaml`.
    let options: String

    /// Reads the list of installed weights.
    ///
    /// - Parameters:
    ///   - named: the folder that `--models` names.
    ///   - configuration: names the folder if `--models` does not.
    /// - Throws: `WeightStoreError`.
    init(folder named: String? = nil, configuration: NodeConfiguration? = nil) throws(WeightStoreError) {
        folder = ModelsFolder.path(named: named, configuration: configuration)
        weights = try WeightStore(folder: folder).installed()
        if let named {
            options = " --models \(named)"
        } else if let file = configuration?.file, folder == configuration?.models {
            options = " --config \(file)"
        } else {
            options = ""
        }
    }

    /// A segmenter with its weights.
    ///
    /// - Parameters:
    ///   - name: the name of the segmenter.
    ///   - named: the name of the weights; `nil` for the only weights that fit.
    ///   - options: options whose recipe becomes part of the segmenter's version.
    /// - Returns: the segmenter, whose weights are installed or inside the executable.
    /// - Throws: `UnavailableSegmenter`, which says what to do.
    func segmenter(
        _ name: String, weights named: String?, options: SegmenterOptions = .none
    ) throws(UnavailableSegmenter) -> InstalledSegmenter {
        do {
            return try Segmenters.following(options, Segmenters.choose(name, weights: named, among: weights))
        } catch {
            throw UnavailableSegmenter(reason(for: error, segmenter: name, weights: named))
        }
    }

    private func reason(for error: SegmentationError, segmenter name: String, weights named: String?) -> String {
        guard case .missingWeights(_, let reason) = error else { return error.description }
        guard let family = (try? Segmenters.entry(name))?.family else { return "\(name): \(reason)" }
        let others = weights.filter { $0.family == family }.map(\.name)
        if named == nil, others.count > 1 {
            return "\(name) can run on several weights; name one of \(others.joined(separator: ", "))"
        }
        let known = others.isEmpty ? "" : " (installed: \(others.joined(separator: ", ")))"
        let what = named.map { "the weights \($0) of \(family.title)" } ?? "weights of \(family.title)"
        return "\(name) needs \(what), which are not installed in \(folder)\(known); get them from \(family.page), "
            + "then run 'kontur models add \(family.checkpoint)\(options)'"
    }

    /// A route together with its segmenter as it is installed here.
    func target(_ route: Route) -> StackPlanner.Target {
        StackPlanner.Target(
            route,
            segmenter: Result { () throws(UnavailableSegmenter) in
                try segmenter(route.segmenter, weights: route.weights, options: route.options)
            })
    }

    /// The planner for the routes of a configuration: the node, `kontur segment` and `kontur route explain` use it.
    package func planner(for configuration: NodeConfiguration) -> StackPlanner {
        StackPlanner(targets: configuration.routes.map(target), maximumInstances: WorkMessage.sourceLimit)
    }

    /// Checks that every route can run.
    ///
    /// - Throws: `ConfigurationError` with the place of every route whose segmenter is not installed.
    func check(_ planner: StackPlanner, of configuration: NodeConfiguration) throws(ConfigurationError) {
        let problems = ProblemList(file: configuration.file ?? "the configuration")
        for target in planner.targets {
            guard case .failure(let error) = target.segmenter else { continue }
            let place = configuration.places[target.route.name]
            problems.add(place?.weights ?? place?.segmenter ?? ConfigurationPlace(), error.description)
        }
        try problems.check()
    }
}

extension ModelFamily {
    /// The name of the smallest checkpoint that its publisher offers.
    var checkpoint: String {
        switch self {
        case .sam: "sam_vit_b_01ec64.pth"
        case .medsam: "medsam_vit_b.pth"
        case .liteMedSAM: "lite_medsam.pth"
        case .medsamCompact: "medsam-compact.safetensors"
        case .sam2: "sam2.1_hiera_tiny.pt"
        case .medsam2: "MedSAM2_latest.pt"
        case .medsam2Compact: "medsam2-compact.safetensors"
        }
    }
}

/// The folder of installed weights.
enum ModelsFolder {
    /// The absolute path of the folder.
    ///
    /// The option comes first, then the variable `KONTUR_MODELS`, then the configuration. The last choice is a folder in
    /// the user's home folder (XDG Base Directory Specification).
    static func path(named: String?, configuration: NodeConfiguration?) -> String {
        let environment = ProcessInfo.processInfo.environment
        if let named { return absolute(named) }
        if let set = environment["KONTUR_MODELS"], !set.isEmpty { return absolute(set) }
        if let configuration, configuration.file != nil { return configuration.models }
        let set = environment["XDG_DATA_HOME"].flatMap { $0.hasPrefix("/") ? $0 : nil }
        return "\(set ?? "\(NSHomeDirectory())/.local/share")/kontur/models"
    }

    private static func absolute(_ path: String) -> String { URL(fileURLWithPath: path).standardizedFileURL.path }
}

/// The option of commands that use installed weights.
struct ModelsOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Use the installed weights in this folder instead of the configuration's or ~/.local/share/kontur/models.",
            valueName: "folder"))
    var models: String?
}
