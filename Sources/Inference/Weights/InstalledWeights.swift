// SPDX-License-Identifier: Apache-2.0

/// Installed weights in a ``WeightStore``: converted, checked and ready to be mapped.
public struct InstalledWeights: Sendable, Hashable, Codable {
    /// The checkpoint that the weights were converted from.
    public struct OriginalFile: Sendable, Hashable, Codable {
        /// The name of the file, without folders.
        public var file: String
        /// SHA-256 of the file as it was added, 64 lower-case hexadecimal digits.
        public var sha256: String
        /// The publication with this hash, such as `sam_vit_b_01ec64.pth of
        /// facebookresearch/segment-anything`.
        ///
        /// It is `nil` if the hash does not belong to a known publication.
        public var publication: String?

        /// Creates a source.
        public init(file: String, sha256: String, publication: String? = nil) {
            self.file = file
            self.sha256 = sha256
            self.publication = publication
        }
    }

    /// The name of the weights in configurations, such as `sam_vit_b`.
    public var name: String
    /// The family whose recipes use the weights.
    public var family: ModelFamily
    /// The image encoder, such as `ViT-B`.
    public var architecture: String
    /// SHA-256 of the stored file, 64 lower-case hexadecimal digits.
    public var sha256: String
    /// The size of the stored file in bytes.
    public var bytes: Int
    /// The number of parameters of the network.
    public var parameters: Int
    /// Height and width of the network's input, pixels; `nil` for those that the tensors or the publisher say.
    public var inputSize: Int?
    /// The checkpoint that the weights were converted from.
    public var source: OriginalFile
    /// The terms of the weights, as far as they are known.
    public var licence: String
    /// The path of the stored file, a safetensors file with the tensor names of the publisher's
    /// checkpoint.
    public var path: String

    /// Creates a record.
    public init(
        name: String, family: ModelFamily, architecture: String, sha256: String, bytes: Int, parameters: Int,
        inputSize: Int? = nil, source: OriginalFile, licence: String, path: String
    ) {
        self.name = name
        self.family = family
        self.architecture = architecture
        self.sha256 = sha256
        self.bytes = bytes
        self.parameters = parameters
        self.inputSize = inputSize
        self.source = source
        self.licence = licence
        self.path = path
    }

    /// Maps the stored file after a check of its hash.
    ///
    /// - Returns: the tensors.
    /// - Throws: `WeightFileError.unreadable` if the file cannot be read or does not have the
    ///   recorded hash.
    public func open() throws(WeightFileError) -> SafeTensors {
        let file = try SafeTensors(path: path)
        let found = file.sha256
        guard found == sha256 else {
            throw .unreadable(
                path: path,
                reason: "its SHA-256 is \(found), not \(sha256); remove \(name) and add its checkpoint again")
        }
        return file
    }
}

/// A family of promptable networks.
///
/// The operator gets the weights from their publisher, or trains them, and adds them to the node.
/// Families that share a network differ in their recipes: MedSAM has the tensors of SAM ViT-B but
/// takes other inputs.
public enum ModelFamily: String, Sendable, Hashable, Codable, CaseIterable {
    /// Segment Anything: a ViT-B, ViT-L or ViT-H image encoder, or a scaled-down one.
    case sam
    /// SAM's network, trained on medical images with boxes only.
    case medsam
    /// MedSAM with a TinyViT image encoder and an input of 256 x 256.
    case liteMedSAM = "lite-medsam"
    /// SAM's prompt encoder and mask decoder on a convolutional image encoder, input 256 x 256, trained by `training/`.
    case medsamCompact = "medsam-compact"
    /// SAM 2 and SAM 2.1 with a Hiera-T, S, B+ or L image encoder, and an input of 1024 x 1024.
    case sam2
    /// SAM 2.1 T, trained on medical volumes, with an input of 512 x 512.
    case medsam2
    /// SAM 2's structure on the image encoder of medsam-compact, input 256 x 256, trained by `training/`.
    case medsam2Compact = "medsam2-compact"

    /// The name of the family for people.
    public var title: String {
        switch self {
        case .sam: "Segment Anything (SAM)"
        case .medsam: "MedSAM"
        case .liteMedSAM: "LiteMedSAM"
        case .medsamCompact: "medsam-compact"
        case .sam2: "SAM 2"
        case .medsam2: "MedSAM2"
        case .medsam2Compact: "medsam2-compact"
        }
    }

    /// The publisher's page, which links to the checkpoints.
    public var page: String {
        switch self {
        case .sam: "https://github.com/facebookresearch/segment-anything#model-checkpoints"
        case .medsam: "https://github.com/bowang-lab/MedSAM#get-started"
        case .liteMedSAM: "https://github.com/bowang-lab/MedSAM/tree/LiteMedSAM"
        case .medsamCompact, .medsam2Compact: "training/README.md of this project, which trains them"
        case .sam2: "https://github.com/facebookresearch/sam2#download-checkpoints"
        case .medsam2: "https://huggingface.co/wanglab/MedSAM2"
        }
    }

    /// The terms of the publisher's checkpoints.
    public var publishedTerms: String {
        switch self {
        case .medsamCompact, .medsam2Compact: "research use, as the data it was trained on"
        case .medsam2: "CC-BY-SA-4.0"
        case .sam, .medsam, .liteMedSAM, .sam2: "Apache License 2.0"
        }
    }
}
