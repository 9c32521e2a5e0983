// SPDX-License-Identifier: Apache-2.0

import Foundation

/// The part of a weight file's metadata that decides how the network runs: facts that its tensors do not show.
///
/// Files of published networks do not have such metadata. Scaled-down networks, and networks that `training/` makes,
/// do. The store keeps it, so that a stored network runs as the added file would.
public struct NetworkSettings: Sendable, Hashable {
    /// Height and width of the network's input, pixels; `nil` means the published size.
    public var inputSize: Int?
    /// The sizes of a Hiera trunk; `nil` means those of the published trunk with as many channels and blocks.
    public let hiera: HieraArchitecture?
    /// JSON that `training/` writes, such as the coefficients of the confidence.
    private let facts: String?
    /// The JSON of `hiera` as the file has it, so that the same file always gives the same metadata.
    private let trunk: String?

    /// The keys of the metadata, in which all values are texts.
    private static let (inputSizeKey, hieraKey, factsKey) = ("inputSize", "hiera", "kontur")

    /// Reads the settings.
    ///
    /// - Parameters:
    ///   - metadata: the `__metadata__` of a safetensors file. Other keys are ignored.
    ///   - family: decides about the sizes that the network's input can have.
    /// - Throws: `WeightFileError.header`.
    public init(_ metadata: [String: String], family: ModelFamily) throws(WeightFileError) {
        (facts, trunk) = (metadata[Self.factsKey], metadata[Self.hieraKey])
        if let text = metadata[Self.inputSizeKey] {
            guard let size = Int(text), Self.isInputSize(size, of: family) else {
                throw .header(reason: "its \(Self.inputSizeKey) is not \(Self.inputSizes(of: family))")
            }
            inputSize = size
        }
        hiera = trunk.flatMap { try? JSONDecoder().decode(HieraArchitecture.self, from: Data($0.utf8)) }
        guard trunk == nil || hiera?.isValid == true else {
            throw .header(reason: "its \(Self.hieraKey) is not the JSON of a trunk")
        }
    }

    /// The settings as metadata.
    var metadata: [String: String] {
        var metadata = [String: String]()
        metadata[Self.inputSizeKey] = inputSize.map(String.init)
        metadata[Self.factsKey] = facts
        metadata[Self.hieraKey] = trunk
        return metadata
    }

    /// Whether a network of the family can have an input of this height and width.
    static func isInputSize(_ size: Int, of family: ModelFamily) -> Bool {
        (32...1024).contains(size) && size % family.inputStep == 0
    }

    /// The sizes that an input of the family can have, in words.
    static func inputSizes(of family: ModelFamily) -> String { "a multiple of \(family.inputStep) from 32 to 1024" }
}

extension ModelFamily {
    /// The number that divides height and width of the network's input.
    fileprivate var inputStep: Int {
        switch self {
        case .sam2, .medsam2, .medsam2Compact: 32
        case .sam, .medsam, .liteMedSAM, .medsamCompact: 16
        }
    }

    /// Height and width of the published networks' input if the tensors do not show it; `nil` for a ViT.
    public var publishedInputSize: Int? {
        switch self {
        case .sam, .medsam: nil
        case .liteMedSAM, .medsamCompact: SegmentAnything.liteInputSize
        case .sam2: SegmentAnything2.publishedInputSize
        case .medsam2: SegmentAnything2.medicalInputSize
        case .medsam2Compact: SegmentAnything2.compactInputSize
        }
    }
}
