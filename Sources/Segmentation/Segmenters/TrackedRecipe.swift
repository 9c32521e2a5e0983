// SPDX-License-Identifier: Apache-2.0
//
// The recipes that prompt a network of the SAM 2 family on a few slices and track the structure through the others.
// They run the same code and differ in the values of one table.

internal import Imaging
internal import Inference

/// A way to track prompts through the slices of a volume.
///
/// The raw values are the values of the option `recipe`.
enum TrackingMethod: String, Sendable, CaseIterable {
    /// MedSAM2 (medsam2_infer_3D_CT.py of bowang-lab/MedSAM2).
    ///
    /// The prompted slices are prompted, and the tracking goes forwards. It forgets what it tracked, is prompted again
    /// and goes backwards. The answer is the largest component of both directions.
    case medsam2
    /// SAM 2 in the hands of MedSAM's authors in 2024 (infer_SAM2_3D_npz.py of bowang-lab/MedSAM, branch MedSAM2).
    ///
    /// The image predictor answers each prompt, and its mask prompts the tracking, which then goes as in `medsam2`.
    /// All components are kept.
    case medsam2Of2024 = "medsam2-2024"
    /// SAM 2's video predictor (sam2_video_predictor.py of facebookresearch/sam2).
    ///
    /// The tracking goes forwards and then backwards without forgetting. All components are kept.
    case sam2Video = "sam2-video"

    /// Whether the backward pass starts without the memories of the forward pass.
    var forgetsBetweenPasses: Bool { self != .sam2Video }
    /// Whether the image predictor's mask prompts the tracking in place of the prompt itself.
    var promptsByMask: Bool { self == .medsam2Of2024 }
    /// Whether only the largest component of a volume is kept.
    var keepsLargestComponent: Bool { self == .medsam2 }
}

/// The values of one recipe that tracks a structure.
///
/// If a person does not give a prompt, a compact network finds it. The answer then depends on that network's weights
/// too, so their hash is part of the recipe's version, as semver's build metadata. The build metadata begins with the
/// way of tracking.
struct TrackedRecipe: Sendable {
    let entry: SegmenterEntry
    let family: ModelFamily
    /// The recipe that finds prompts if a person does not give them.
    let prompter: Recipe
    /// Pixels of the network's input that widen each side of a box made from a mask.
    let margin: Double
    /// Pixels of the network's input by which prompts are moved to test whether the answer is stable.
    let shift: Double
    /// The tracking of a volume ends after this many slices in a row without the structure; `nil` for the references'
    /// way: the tracking goes on to the last slice.
    let mostAbsent: Int?
    /// Whether the components of prompted slices are kept, instead of the largest one, if a person gave the prompts.
    ///
    /// The references keep the largest component.
    let keepsPrompted: Bool

    var name: String { entry.name }

    /// Makes a row of the table.
    ///
    /// - Parameters:
    ///   - name: the name used in configurations.
    ///   - version: the version of the recipe, without way of tracking and prompter.
    ///   - family: the family of the network.
    ///   - methods: the ways of tracking that a person can choose; the first one is the usual one.
    ///   - prompter: the compact recipe that finds the structure, and whose codes, label and kind of input the new
    ///     recipe takes.
    ///   - color: the colour of its answers, which no other segmenter has.
    ///   - title: one line for people.
    ///   - margin: widens boxes made from masks, pixels of the network's input.
    ///   - shift: moves prompts to test an answer, pixels of the network's input.
    ///   - mostAbsent: the tracking of a volume ends after this many slices in a row without the structure.
    ///   - keepsPrompted: whether every component of a slice that a person prompted is kept.
    private init(
        _ name: String, version: String, family: ModelFamily, methods: [TrackingMethod], of prompter: Recipe,
        color: DisplayColor, title: String, margin: Double, shift: Double, mostAbsent: Int? = nil,
        keepsPrompted: Bool = false
    ) {
        var template = prompter.entry.template
        let embedded = EmbeddedWeights(family.rawValue)
        template.version =
            "\(version)+\(methods[0].rawValue).\(template.name).\(template.weightsHash.prefix(8))"
        template.name = name
        template.weightsHash = embedded?.sha256 ?? ""
        template.recommendedDisplayColor = color
        template.title = title
        template.paper = family.paper
        template.licence = embedded == nil ? "" : "research use only, see training/cards/\(family.rawValue).md"
        let isVolume = template.accepts == .volume
        let always: Set<SegmenterEntry.Option> = [.box, .points, .keySlice, .slicePrompts, .margin, .shift]
        entry = SegmenterEntry(
            template, family: family, options: isVolume ? always.union([.recipe, .promptEvery]) : always,
            refusals: isVolume
                ? [:]
                : [
                    .recipe: "it tracks frames forwards in time only",
                    .promptEvery: "it prompts a frame again if it lost the structure",
                ],
            recipes: methods.map(\.rawValue))
        self.family = family
        self.prompter = prompter
        self.margin = margin
        self.shift = shift
        self.mostAbsent = mostAbsent
        self.keepsPrompted = keepsPrompted
    }

    /// The recipe with the code that runs it.
    var recipe: Recipe {
        Recipe(entry) { weights in
            switch entry.template.accepts {
            case .volume: try TrackedVolume(self, weights)
            case .frames: try TrackedFrames(self, weights)
            }
        }
    }

    /// The way of tracking that a descriptor's version names.
    func method(of version: String) -> TrackingMethod {
        let named = TrackingMethod.allCases.first { version.contains("+\($0.rawValue).") }
        return named ?? .sam2Video
    }
}

extension TrackedRecipe {
    /// Every recipe that tracks, one row each.
    ///
    /// A change that may change an answer raises the row's version.
    static let table: [TrackedRecipe] = [
        // The volume's intensities clipped to the 0.5 and 99.5 percentiles of the positive values, as bytes ->
        // each slice stretched to 256 x 256 as training/recipes/resize.py does -> ImageNet's mean and deviation ->
        // the encoder of medsam-compact -> prompts, memories, SAM 2's decoder -> empty where the object score is at
        // most 0, else logits resized to the slice -> above 0 -> the components of the slices that a person prompted,
        // or the largest component, and what continues them behind a gap.
        TrackedRecipe(
            "medsam2-compact", version: "1.1.1", family: .medsam2Compact, methods: [.medsam2, .sam2Video],
            of: LeftAtriumCompact.recipe, color: DisplayColor(red: 150, green: 0, blue: 150),
            title: atriumTracked, margin: 3, shift: 3, mostAbsent: 3, keepsPrompted: true),

        // The endoscopic field of the frame -> bytes -> as in medsam2-compact, forwards in time.
        TrackedRecipe(
            "medsam2-compact-frames", version: "1.0.2", family: .medsam2Compact, methods: [.sam2Video],
            of: PolypCompact.recipe, color: DisplayColor(red: 210, green: 240, blue: 240),
            title: polypTracked, margin: 3, shift: 3),

        // The volume's intensities as in medsam2-compact -> each slice to 512 x 512 by Pillow's bicubic -> ImageNet's
        // mean and deviation -> Hiera, memories, decoder -> -1024 where the object score is at most 0 -> logits
        // resized to the slice -> above 0 -> the largest component, if the way of tracking says so.
        TrackedRecipe(
            "medsam2-track", version: "1.0.2", family: .medsam2, methods: [.medsam2, .medsam2Of2024, .sam2Video],
            of: LeftAtriumCompact.recipe, color: DisplayColor(red: 240, green: 225, blue: 150),
            title: atriumTracked, margin: 6, shift: 5),

        // The endoscopic field of the frame -> bytes -> as in medsam2-track, forwards in time.
        TrackedRecipe(
            "medsam2-track-frames", version: "1.0.2", family: .medsam2, methods: [.sam2Video],
            of: PolypCompact.recipe, color: DisplayColor(red: 120, green: 90, blue: 150),
            title: polypTracked, margin: 6, shift: 5),

        // As medsam2-track at 1024 x 1024.
        TrackedRecipe(
            "sam2-track", version: "1.0.2", family: .sam2, methods: [.sam2Video, .medsam2Of2024, .medsam2],
            of: LeftAtriumCompact.recipe, color: DisplayColor(red: 255, green: 165, blue: 150),
            title: atriumTracked, margin: 12, shift: 10),

        // As medsam2-track-frames at 1024 x 1024.
        TrackedRecipe(
            "sam2-track-frames", version: "1.0.2", family: .sam2, methods: [.sam2Video],
            of: PolypCompact.recipe, color: DisplayColor(red: 150, green: 90, blue: 15),
            title: polypTracked, margin: 10, shift: 10),
    ]

    private static let atriumTracked =
        "the left atrial cavity in 3D late gadolinium enhanced MRI, tracked from a prompt on one slice"
    private static let polypTracked = "a polyp in the frames of a colonoscopy, tracked in the order of time"
}
