// SPDX-License-Identifier: Apache-2.0

/// Networks whose weights are not shipped: whoever runs the node gets them from their publisher and adds them.
///
/// Families that share a network differ in their recipes: MedSAM has SAM ViT-B's very tensors, and takes other inputs.
public enum ModelFamily: String, Sendable, Hashable, Codable, CaseIterable {
    /// Segment Anything: a ViT-B, ViT-L or ViT-H image encoder, or a scaled-down one.
    case sam
    /// SAM's network, trained on medical images with boxes only.
    case medsam
    /// MedSAM with a TinyViT image encoder and an input of 256 x 256.
    case liteMedSAM = "lite-medsam"

    /// As people write it.
    public var title: String {
        switch self {
        case .sam: "Segment Anything (SAM)"
        case .medsam: "MedSAM"
        case .liteMedSAM: "LiteMedSAM"
        }
    }

    /// The publisher's page, which says where its checkpoints are.
    public var page: String {
        switch self {
        case .sam: "https://github.com/facebookresearch/segment-anything#model-checkpoints"
        case .medsam: "https://github.com/bowang-lab/MedSAM#get-started"
        case .liteMedSAM: "https://github.com/bowang-lab/MedSAM/tree/LiteMedSAM"
        }
    }

    /// Terms of the checkpoints that the publisher offers.
    public var publishedTerms: String { "Apache License 2.0" }
}
