// SPDX-License-Identifier: Apache-2.0

import Foundation
import Imaging
import Inference
import Routing
import Segmentation

/// The weights that are installed in one folder, and which segmenters can run with them.
struct InstalledModels {
    let folder: String
    let weights: [InstalledWeights]
    /// What names the folder on a command line of `kontur models`, such as `--config kontur.yaml`.
    let options: String

    /// - Parameters:
    ///   - folder: named by `--models`.
    ///   - configuration: whose `models.path` is meant where no folder is named.
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

    /// The segmenter with its weights.
    ///
    /// - Parameter weights: their name; `nil` when there is nothing to choose.
    /// - Throws: `MissingModel`, which says what to do.
    func segmenter(_ name: String, weights named: String?) throws -> InstalledSegmenter {
        do {
            return try Segmenters.choose(name, weights: named, among: weights)
        } catch {
            if case .rule = error { throw MissingModel(error.description) }
            guard case .missingWeights(_, let reason) = error else { throw error }
            guard let family = try Segmenters.entry(name).family else { throw MissingModel("\(name): \(reason)") }
            let others = weights.filter { $0.family == family }.map(\.name)
            if named == nil, others.count > 1 {
                throw MissingModel("\(name) can run on \(others.joined(separator: ", ")): say which")
            }
            let known = others.isEmpty ? "" : ", only \(others.joined(separator: ", "))"
            let what = named.map { "the weights \($0) of \(family.title)" } ?? "weights of \(family.title)"
            throw MissingModel(
                "\(name) needs \(what), which are not installed in \(folder)\(known): get them from \(family.page), "
                    + "then run 'kontur models add \(family.checkpoint)\(options)'")
        }
    }

    /// The segmenters that routes name, each once.
    ///
    /// - Throws: `ConfigurationError` with every route whose weights are missing.
    func segmenters(of configuration: NodeConfiguration) throws -> [InstalledSegmenter] {
        var found: [InstalledSegmenter] = []
        let problems = ProblemList(file: configuration.file ?? "the configuration")
        for route in configuration.routes {
            do {
                let segmenter = try segmenter(route.segmenter, weights: route.weights)
                if !found.contains(segmenter) { found.append(segmenter) }
            } catch let error as MissingModel {
                let place = configuration.places[route.name]
                let at = place?.weights ?? place?.segmenter
                problems.add(line: at?.line ?? 1, column: at?.column ?? 1, path: at?.path ?? "", error.description)
            }
        }
        try problems.check()
        return found
    }
}

/// A segmenter that cannot run here; the message says what to do about it.
struct MissingModel: Error, CustomStringConvertible {
    var description: String

    init(_ description: String) { self.description = description }
}

extension ModelFamily {
    /// The name of the smallest checkpoint that its publisher offers.
    var checkpoint: String {
        switch self {
        case .sam: "sam_vit_b_01ec64.pth"
        case .medsam: "medsam_vit_b.pth"
        case .liteMedSAM: "lite_medsam.pth"
        case .medsamCompact: "medsam-compact.safetensors"
        }
    }
}
