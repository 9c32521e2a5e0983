// SPDX-License-Identifier: Apache-2.0
//
// What the segmenters of the SAM family say of themselves. Prompts that nobody gave come from a compact network, so that
// an answer depends on its weights too: their hash is a part of the version, as semver's build metadata.

internal import Imaging
internal import Inference

/// What a promptable network is asked for: the structure, and the compact network that finds a prompt for it.
enum PromptedTarget {
    case polyp
    case leftAtrium

    /// Segments what is sought, and lends its codes, label and colour.
    var compact: SegmenterDescriptor {
        switch self {
        case .polyp: PolypCompact.description
        case .leftAtrium: LeftAtriumCompact.description
        }
    }

    /// An entry of the catalogue.
    ///
    /// - Parameter version: of the recipe, without that of the prompter.
    func entry(
        name: String, version: String, family: ModelFamily, title: String, paper: String,
        options: Set<SegmenterEntry.Option>, refusals: [SegmenterEntry.Option: String] = [:]
    ) -> SegmenterEntry {
        var template = compact
        template.name = name
        template.version = "\(version)+\(compact.name).\(compact.weightsHash.prefix(8))"
        let embedded = EmbeddedWeights(shipped: family.rawValue)
        template.weightsHash = embedded?.sha256 ?? ""
        template.title = title
        template.paper = paper
        template.licence = embedded == nil ? "" : "research use only, see training/cards/\(family.rawValue).md"
        return SegmenterEntry(template, family: family, options: options, refusals: refusals)
    }
}

/// Why the MedSAM recipes take boxes only.
let boxesOnly: [SegmenterEntry.Option: String] = [
    .points: "its network was trained with boxes only: give a box",
    .keySlice: "it answers single frames, which have no slices",
]
