// SPDX-License-Identifier: Apache-2.0

/// Promptable networks. Whoever runs the node gets weights from their publisher, or trains them, and adds them.
///
/// Families that share a network differ in their recipes: MedSAM has SAM ViT-B's very tensors, and takes other inputs.
public enum ModelFamily: String, Sendable, Hashable, Codable, CaseIterable {
    /// Segment Anything: a ViT-B, ViT-L or ViT-H image encoder, or a scaled-down one.
    case sam
    /// SAM's network, trained on medical images with boxes only.
    case medsam
    /// MedSAM with a TinyViT image encoder and an input of 256 x 256.
    case liteMedSAM = "lite-medsam"
    /// SAM's prompt encoder and mask decoder on a convolutional image encoder, input 256 x 256, trained by `training/`.
    case medsamCompact = "medsam-compact"

    /// As people write it.
    public var title: String {
        switch self {
        case .sam: "Segment Anything (SAM)"
        case .medsam: "MedSAM"
        case .liteMedSAM: "LiteMedSAM"
        case .medsamCompact: "medsam-compact"
        }
    }

    /// The publisher's page, which says where its checkpoints are.
    public var page: String {
        switch self {
        case .sam: "https://github.com/facebookresearch/segment-anything#model-checkpoints"
        case .medsam: "https://github.com/bowang-lab/MedSAM#get-started"
        case .liteMedSAM: "https://github.com/bowang-lab/MedSAM/tree/LiteMedSAM"
        case .medsamCompact: "training/README.md of this project, which trains them"
        }
    }

    /// Terms of the checkpoints that the publisher offers.
    public var publishedTerms: String {
        self == .medsamCompact ? "research use, as the data it was trained on" : "Apache License 2.0"
    }
}
