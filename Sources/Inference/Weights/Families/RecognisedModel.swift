// SPDX-License-Identifier: Apache-2.0

/// A checkpoint whose tensors are those of a known network.
package struct RecognisedModel {
    /// The tensors of the network with the publisher's names, sorted by name.
    package let tensors: [CheckpointTensor]
    /// The family whose recipes use the weights.
    package let family: ModelFamily
    /// The image encoder, such as `ViT-B`.
    package let architecture: String
    /// The default name of the weights, such as `sam_vit_b`.
    package let name: String
    /// Whether the publisher offers a network of this size.
    let isOfPublishedSize: Bool
    /// Sentences that say which assumptions were made and which tensors were left out.
    package let notes: [String]
    /// The publication of the checkpoint if its hash is known.
    let publication: Publication?
    /// The metadata that the stored file keeps.
    package let settings: NetworkSettings

    /// The number of parameters of the network.
    var parameters: Int { tensors.reduce(0) { $0 + $1.count } }

    /// Recognises the network by the names of its tensors and checks the shape of every tensor.
    ///
    /// - Parameters:
    ///   - checkpoint: the opened checkpoint.
    ///   - file: the name of the checkpoint's file, which distinguishes MedSAM from SAM: both have
    ///     the same tensors.
    ///   - sha256: the hash of the file, 64 lower-case hexadecimal digits, or empty if it is not
    ///     known yet.
    ///   - asked: the family that the caller requires, or `nil` for any.
    ///   - inputSize: height and width of the network's input, if the caller knows that it is not the published one.
    /// - Throws: `CheckpointError`.
    package init(
        _ checkpoint: Checkpoint, file: String, sha256: String, asked: ModelFamily?, inputSize: Int? = nil
    ) throws(CheckpointError) {
        publication = Publication.all.first { $0.sha256 == sha256 }
        if RecognisedSegmentAnything2.isMeant(by: checkpoint.tensors.lazy.map(\.name)) {
            let model = try RecognisedSegmentAnything2(checkpoint, file: file, publication: publication, asked: asked)
            try Self.checkSize(model.tensors, checkpoint)
            (tensors, family, name) = (model.tensors, model.family, model.name)
            settings = try Self.settings(checkpoint, model.family, inputSize: inputSize)
            architecture = model.architecture
            isOfPublishedSize = model.isOfPublishedSize && settings.inputSize == nil
            var notes = model.notes
            if publication == nil, inputSize == nil, try checkpoint.settings(of: family).inputSize == nil,
                let size = family.publishedInputSize
            {
                notes.append(
                    "Assumed an input of \(size) x \(size), the published size of \(family.title), because the tensors do "
                        + "not show it. If the network was trained at another size, add it with --input-size.")
            }
            self.notes = notes + Self.notes(about: tensors, beside: checkpoint.beside)
            return
        }
        var notes: [String] = []
        var found = try Self.renamed(checkpoint, notes: &notes)
        Self.dropHarmless(&found, notes: &notes)
        let network = try RecognisedNetwork(found.mapValues(\.shape))
        let problems = network.shapes.problems(in: found.mapValues(\.shape))
        guard problems.isEmpty else { throw .mismatch(network: network.title, problems: problems) }
        try Self.checkNumbers(found, checkpoint)
        (family, name) = try network.family(file: file, publication: publication, asked: asked, notes: &notes)
        architecture = network.architecture
        settings = try Self.settings(checkpoint, family, inputSize: inputSize)
        isOfPublishedSize = !architecture.contains(where: \.isNumber) && settings.inputSize == nil
        tensors = found.values.sorted { $0.name < $1.name }
        self.notes = notes + Self.notes(about: tensors, beside: checkpoint.beside)
    }

    /// The settings in the checkpoint's metadata, with the size of the input that the caller names.
    private static func settings(
        _ checkpoint: Checkpoint, _ family: ModelFamily, inputSize: Int?
    ) throws(CheckpointError) -> NetworkSettings {
        var settings = try checkpoint.settings(of: family)
        let published = family.publishedInputSize
        if let inputSize {
            guard published != nil else {
                throw .inputSize(
                    reason: "the tensors of \(family.title) show the size of its input: leave out the input size")
            }
            guard NetworkSettings.isInputSize(inputSize, of: family) else {
                throw .inputSize(
                    reason: "the height and width of the input of \(family.title) are "
                        + "\(NetworkSettings.inputSizes(of: family)), not \(inputSize)")
            }
            settings.inputSize = inputSize
        }
        if published == nil || settings.inputSize == published { settings.inputSize = nil }
        return settings
    }

    /// Renames the tensors to the publisher's names.
    private static func renamed(
        _ checkpoint: Checkpoint, notes: inout [String]
    ) throws(CheckpointError) -> [String: CheckpointTensor] {
        let usesOtherNames = TransformersNames.areUsed(in: checkpoint.tensors.lazy.map(\.name))
        var found: [String: CheckpointTensor] = [:]
        // The tied copy comes first, so that the original replaces it.
        let ordered = checkpoint.tensors.sorted { one, other in
            one.name == TransformersNames.tiedCopy && other.name != TransformersNames.tiedCopy
        }
        for var tensor in ordered {
            let name = tensor.name
            if usesOtherNames { tensor.name = TransformersNames.official(name) }
            if let other = found.updateValue(tensor, forKey: tensor.name) {
                guard other.shape == tensor.shape, usesOtherNames else {
                    throw .tensor(name, reason: "another tensor is called \(tensor.name) too")
                }
                try checkpoint.checkCopy(other, of: tensor)
                notes.append("Left out \(TransformersNames.tiedCopy), which is a copy of another tensor.")
            }
        }
        if usesOtherNames { notes.append("Renamed the tensors from the names of transformers to the publisher's.") }
        return found
    }

    /// Removes buffers that only training needs.
    private static func dropHarmless(_ found: inout [String: CheckpointTensor], notes: inout [String]) {
        let harmless = found.keys.filter { name in
            name == "pixel_mean" || name == "pixel_std" || name.hasSuffix(".num_batches_tracked")
                || name.hasSuffix(".attention_bias_idxs")
        }
        for name in harmless { found[name] = nil }
        let shown = Set(harmless.compactMap { $0.split(separator: ".").last.map(String.init) }).sorted()
        if !shown.isEmpty {
            notes.append("Left out tensors that only training needs: \(shown.joined(separator: ", ")).")
        }
    }

    private static func checkNumbers(
        _ found: [String: CheckpointTensor], _ checkpoint: Checkpoint
    ) throws(CheckpointError) {
        for tensor in found.values.sorted(by: { $0.name < $1.name }) {
            guard tensor.type.stored != nil else {
                throw .tensor(
                    tensor.name, reason: "its numbers are of type \(tensor.type.rawValue), not floating-point")
            }
        }
        try checkSize(found.values, checkpoint)
    }

    private static func checkSize(
        _ tensors: some Sequence<CheckpointTensor>, _ checkpoint: Checkpoint
    ) throws(CheckpointError) {
        let bytes = tensors.reduce(0) { $0 + $1.count * $1.type.width }
        // Tensors may share a storage, as tied weights do. Many of them could make a small file fill the disk.
        guard bytes <= 2 * checkpoint.size else {
            throw .format(
                reason: "its tensors share their numbers: they have \(bytes) bytes together, and the file has "
                    + "\(checkpoint.size); save it again with a copy of each tensor: tensor.clone()")
        }
    }

    private static func notes(about tensors: [CheckpointTensor], beside: [String]) -> [String] {
        var notes: [String] = []
        if tensors.contains(where: { $0.type == .double }) {
            notes.append("Rounded double precision to single precision.")
        }
        if !beside.isEmpty {
            let shown = beside.prefix(5).map(\.quoted).joined(separator: ", ")
            let more = beside.count > 5 ? " and more" : ""
            notes.append("Left out entries that are not part of the model: \(shown)\(more).")
        }
        return notes
    }
}

/// A known network and the table of its tensors.
private struct RecognisedNetwork {
    /// The only family with these tensors, or `nil` for SAM and MedSAM, which share theirs.
    var only: ModelFamily?
    var shapes: NetworkShapes
    var architecture: String
    /// The last part of the weights' default name.
    var suffix: String

    /// The name of the network in messages.
    var title: String { only?.title ?? "SAM \(architecture)" }

    init(_ found: [String: [Int]]) throws(CheckpointError) {
        if found["image_encoder.patch_embed.seq.0.c.weight"] != nil {
            let tiny = try TinyVisionTransformerShapes(found)
            (only, shapes, architecture) = (.liteMedSAM, tiny.network, tiny.architecture)
            suffix = architecture == "TinyViT" ? "" : "_custom"
        } else if found[ConvolutionalEncoder.firstTensor] != nil {
            let convolutional = try ConvolutionalShapes(found)
            (only, shapes, architecture) = (.medsamCompact, convolutional.network, convolutional.architecture)
            suffix = ""
        } else if found["image_encoder.patch_embed.proj.weight"] != nil {
            let transformer = try VisionTransformerShapes(found)
            (only, shapes, architecture) = (nil, transformer.network, transformer.architecture)
            suffix = "_vit_\(transformer.letter)"
        } else {
            let first = found.keys.sorted().prefix(3).map(\.quoted).joined(separator: ", ")
            throw .unknownNetwork(
                reason: "the file does not have tensors 'image_encoder.patch_embed...'; its tensors are \(first) "
                    + "and so on")
        }
    }

    /// Determines the family and the weights' default name.
    ///
    /// - Parameters:
    ///   - file: the name of the checkpoint's file.
    ///   - publication: the publication of the checkpoint if its hash is known.
    ///   - asked: the family that the caller requires, or `nil` for any.
    ///   - notes: receives a sentence about an assumption.
    /// - Returns: the family and the default name.
    /// - Throws: `CheckpointError.otherFamily` if the tensors do not belong to the family that the
    ///   caller requires.
    func family(
        file: String, publication: Publication?, asked: ModelFamily?, notes: inout [String]
    ) throws(CheckpointError) -> (ModelFamily, String) {
        if let only {
            if let asked, asked != only { throw .otherFamily(asked: asked, network: title) }
            return (only, (only == .liteMedSAM ? "lite_medsam" : "medsam_compact") + suffix)
        }
        if let asked, asked != .sam, asked != .medsam { throw .otherFamily(asked: asked, network: title) }
        let family = asked ?? publication?.family ?? (file.lowercased().contains("medsam") ? .medsam : .sam)
        if asked == nil, publication == nil {
            notes.append(
                family == .medsam
                    ? "Assumed MedSAM because of the file's name; SAM has the same tensors. If the weights are SAM's, "
                        + "add them with --family sam."
                    : "Assumed SAM because the file's name does not contain 'medsam'; MedSAM has the same tensors. If "
                        + "the weights are MedSAM's, add them with --family medsam.")
        }
        return (family, (family == .medsam ? "medsam" : "sam") + suffix)
    }
}

/// A published checkpoint, identified by its hash.
///
/// The names of SAM's files end with the first digits of their MD5. The SHA-256 hashes are those of
/// the same files. Projects that pin SAM 2's files record the same hashes of them.
struct Publication {
    var family: ModelFamily
    var title: String
    var sha256: String

    static let all = segmentAnything + segmentAnything2

    private static let segmentAnything = [
        Publication(
            family: .sam, title: "sam_vit_b_01ec64.pth of facebookresearch/segment-anything",
            sha256: "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912"),
        Publication(
            family: .sam, title: "sam_vit_l_0b3195.pth of facebookresearch/segment-anything",
            sha256: "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622"),
        Publication(
            family: .sam, title: "sam_vit_h_4b8939.pth of facebookresearch/segment-anything",
            sha256: "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e"),
    ]

    private static let segmentAnything2 = [
        ("sam2_hiera_tiny.pt", "65b50056e05bcb13694174f51bb6da89c894b57b75ccdf0ba6352c597c5d1125"),
        ("sam2_hiera_small.pt", "95949964d4e548409021d47b22712d5f1abf2564cc0c3c765ba599a24ac7dce3"),
        ("sam2_hiera_base_plus.pt", "d0bb7f236400a49669ffdd1be617959a8b1d1065081789d7bbff88eded3a8071"),
        ("sam2_hiera_large.pt", "7442e4e9b732a508f80e141e7c2913437a3610ee0c77381a66658c3a445df87b"),
        ("sam2.1_hiera_tiny.pt", "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69"),
        ("sam2.1_hiera_small.pt", "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38"),
        ("sam2.1_hiera_base_plus.pt", "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5"),
        ("sam2.1_hiera_large.pt", "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318"),
    ].map { Publication(family: .sam2, title: "\($0.0) of facebookresearch/sam2", sha256: $0.1) }
}
