// SPDX-License-Identifier: Apache-2.0
//
// The recipes that prompt a network of the SAM family. They run the same code and differ in the
// values of one table. A recipe that needs code of its own is a file beside this one.

internal import Imaging
internal import Inference

/// The values of one recipe that prompts a network of the SAM family.
///
/// If a person does not give a prompt, a compact network finds it. The answer then depends on that network's weights
/// too, so their hash is part of the recipe's version, as semver's build metadata.
struct PromptedRecipe: Sendable {
    /// The prompts that a recipe works with, and the kind of its input.
    enum Prompts: Sendable {
        /// Frames, each from a box. Points can refine the box.
        case box
        /// Frames, each from points.
        case points
        /// Frames, each from a box, points or both. Prompts made from a mask are boxes.
        case boxOrPoints
        /// A volume, from a box in each slice.
        case boxPerSlice
    }

    let entry: SegmenterEntry
    let prompts: Prompts
    let family: ModelFamily
    /// The recipe that finds prompts if a person does not give them.
    let prompter: Recipe
    /// Pixels of the network's input that widen each side of a box made from a mask.
    let margin: Double
    /// Pixels of the network's input by which prompts are moved to test whether the answer is stable.
    let shift: Double
    /// Connected objects of fewer pixels (voxels of a volume) are dropped.
    let smallestObject: Int
    /// Whether the network's estimate of its masks' IoU was trained.
    let trustsPredictedIoU: Bool

    var name: String { entry.name }

    /// Makes a row of the table.
    ///
    /// - Parameters:
    ///   - name: the name used in configurations.
    ///   - version: the version of the recipe, without that of the prompter.
    ///   - family: the family of the network.
    ///   - prompts: the prompts it works with.
    ///   - prompter: the compact recipe that finds the structure, and whose codes and label the new recipe takes.
    ///   - color: the colour of its answers, which no other segmenter has.
    ///   - title: one line for people.
    ///   - options: the options that a person can give.
    ///   - refusals: reasons why some others are refused.
    ///   - margin: widens boxes made from masks, pixels of the network's input.
    ///   - shift: moves prompts to test an answer, pixels of the network's input.
    ///   - smallestObject: connected objects with fewer pixels or voxels are dropped.
    private init(
        _ name: String, version: String, family: ModelFamily, prompts: Prompts, of prompter: Recipe,
        color: DisplayColor, title: String, options: Set<SegmenterEntry.Option>,
        refusals: [SegmenterEntry.Option: String] = [:], margin: Double,
        shift: Double, smallestObject: Int = 0
    ) {
        var template = prompter.entry.template
        let embedded = EmbeddedWeights(family.rawValue)
        template.version = "\(version)+\(template.name).\(template.weightsHash.prefix(8))"
        template.name = name
        template.weightsHash = embedded?.sha256 ?? ""
        template.recommendedDisplayColor = color
        template.title = title
        template.paper = family.paper
        template.licence = embedded == nil ? "" : "research use only, see training/cards/\(family.rawValue).md"
        entry = SegmenterEntry(template, family: family, options: options, refusals: refusals)
        self.prompts = prompts
        self.family = family
        self.prompter = prompter
        self.margin = margin
        self.shift = shift
        self.smallestObject = smallestObject
        // The estimate of MedSAM's checkpoint was never trained.
        trustsPredictedIoU = family != .medsam
    }

    /// The recipe with the code that runs it.
    var recipe: Recipe {
        Recipe(entry) { weights in
            switch prompts {
            case .box, .points, .boxOrPoints: try PromptedFrames(self, weights)
            case .boxPerSlice: try PromptedSlices(self, weights)
            }
        }
    }
}

extension ModelFamily {
    /// The publications that a recipe on weights of the family follows.
    var paper: String {
        switch self {
        case .sam: "Kirillov 2023 (Segment Anything)"
        case .medsam: "Ma 2024 (MedSAM)"
        case .liteMedSAM: "Ma 2024 (MedSAM), Wu 2022 (TinyViT)"
        case .medsamCompact:
            "Kirillov 2023 (Segment Anything), He 2016 (residual blocks); "
                + "trained by training/fitting/train_promptable.py"
        case .sam2: "Ravi 2024 (SAM 2)"
        case .medsam2: "Ma 2025 (MedSAM2), Ravi 2024 (SAM 2)"
        case .medsam2Compact:
            "Ravi 2024 (SAM 2), He 2016 (residual blocks); trained by training/fitting/train_tracker.py"
        }
    }
}

extension PromptedRecipe {
    /// Every prompted recipe, one row each.
    ///
    /// A change that may change an answer raises the row's version.
    static let table: [PromptedRecipe] = [
        // training/recipes/medsam_compact.py: the endoscopic field of the frame (`EndoscopicField`) -> bytes ->
        // stretched to 256 x 256 as training/recipes/resize.py does ->
        // ImageNet's mean and deviation -> image encoder -> mask decoder, which also gets the box
        // drawn as a mask prompt -> the single mask, or the best of three for a lone point ->
        // logits resized to the frame -> above 0.
        PromptedRecipe(
            "medsam-compact-box", version: "1.1.1", family: .medsamCompact, prompts: .boxOrPoints,
            of: PolypCompact.recipe, color: DisplayColor(red: 225, green: 255, blue: 0),
            title: "polyps in single colonoscopy frames, from a box or points",
            options: [.box, .points, .margin, .shift], margin: 3, shift: 3),

        // The volume's intensities clipped to the 0.5 and 99.5 percentiles of the positive values,
        // as bytes -> each slice as in medsam-compact-box -> objects of fewer than 100 voxels
        // dropped.
        PromptedRecipe(
            "medsam-compact-slices", version: "1.1.1", family: .medsamCompact, prompts: .boxPerSlice,
            of: LeftAtriumCompact.recipe, color: DisplayColor(red: 255, green: 180, blue: 15),
            title: leftAtriumFromBoxes, options: [.box, .keySlice, .margin, .shift],
            refusals: [.points: "it segments a volume from boxes: give a box"], margin: 3, shift: 3,
            smallestObject: 100),

        // The endoscopic field of the frame -> bytes -> longest side to 1024 by Pillow's bilinear ->
        // ImageNet's mean and deviation ->
        // padded with zeros -> image encoder -> mask decoder, the single mask -> logits enlarged to
        // 1024, the padding cut off, resized to the frame -> above 0.
        PromptedRecipe(
            "sam-box", version: "1.1.1", family: .sam, prompts: .box, of: PolypCompact.recipe,
            color: DisplayColor(red: 0, green: 165, blue: 255),
            title: polypsFromBox, options: [.box, .points, .margin, .shift], margin: 10, shift: 10),

        // As sam-box, except that a lone point gets the best of three masks by predicted IoU.
        PromptedRecipe(
            "sam-point", version: "1.1.1", family: .sam, prompts: .points, of: PolypCompact.recipe,
            color: DisplayColor(red: 135, green: 120, blue: 255),
            title: "polyps in single colonoscopy frames, from points", options: [.points, .shift],
            refusals: [.box: "its prompts are points: choose sam-box"], margin: 0, shift: 10),

        // The endoscopic field of the frame -> bytes -> stretched to 1024 x 1024 by torch's bilinear with antialiasing,
        // in fp32 -> ImageNet's mean and deviation -> Hiera -> mask decoder, the single mask, or the best of three
        // where it is unstable -> logits resized to the frame -> above 0. The object score decides nothing.
        PromptedRecipe(
            "sam2-box", version: "1.0.1", family: .sam2, prompts: .box, of: PolypCompact.recipe,
            color: DisplayColor(red: 0, green: 150, blue: 150),
            title: polypsFromBox, options: [.box, .points, .margin, .shift], margin: 10, shift: 10),

        // As sam2-box, except that a lone point gets the best of three masks by predicted IoU.
        PromptedRecipe(
            "sam2-point", version: "1.0.1", family: .sam2, prompts: .points, of: PolypCompact.recipe,
            color: DisplayColor(red: 75, green: 30, blue: 240),
            title: "polyps in single colonoscopy frames, from points", options: [.points, .shift],
            refusals: [.box: "its prompts are points: choose sam2-box"], margin: 0, shift: 10),

        // The endoscopic field of the frame -> bytes -> stretched to 1024 x 1024 by a cubic spline,
        // cut to bytes -> least to greatest as
        // 0...1 -> image encoder -> mask decoder, the single mask -> sigmoid -> resized to the
        // frame -> above 0.5 -> objects of fewer than 100 pixels dropped.
        PromptedRecipe(
            "medsam-box", version: "1.1.1", family: .medsam, prompts: .box, of: PolypCompact.recipe,
            color: DisplayColor(red: 240, green: 0, blue: 255),
            title: polypsFromBox, options: [.box, .margin, .shift], refusals: boxesOnly, margin: 12, shift: 10,
            smallestObject: 100),

        // The volume's intensities as in medsam-compact-slices -> each slice as in medsam-box ->
        // objects of fewer than 1000 voxels dropped. The margin is the reference's: 3 pixels of
        // 256.
        PromptedRecipe(
            "medsam-slices", version: "1.1.1", family: .medsam, prompts: .boxPerSlice, of: LeftAtriumCompact.recipe,
            color: DisplayColor(red: 255, green: 15, blue: 135),
            title: leftAtriumFromBoxes, options: [.box, .keySlice, .margin, .shift], refusals: boxesOnly, margin: 12,
            shift: 10, smallestObject: 1000),

        // The endoscopic field of the frame -> bytes -> longest side to 256 by area means ->
        // least to greatest as 0...1 -> padded with
        // zeros -> TinyViT -> mask decoder, the single mask -> the padding cut off, resized to the
        // frame -> sigmoid -> above 0.5 -> objects of fewer than 10 pixels dropped. Boxes lie in
        // whole pixels of the input.
        PromptedRecipe(
            "lite-medsam-box", version: "1.1.1", family: .liteMedSAM, prompts: .box, of: PolypCompact.recipe,
            color: DisplayColor(red: 255, green: 150, blue: 240),
            title: polypsFromBox, options: [.box, .margin, .shift], refusals: boxesOnly, margin: 3, shift: 3,
            smallestObject: 10),

        // The volume's intensities as in medsam-compact-slices -> each slice as in lite-medsam-box
        // -> objects of fewer than 100 voxels dropped.
        PromptedRecipe(
            "lite-medsam-slices", version: "1.1.1", family: .liteMedSAM, prompts: .boxPerSlice,
            of: LeftAtriumCompact.recipe, color: DisplayColor(red: 120, green: 150, blue: 30),
            title: leftAtriumFromBoxes, options: [.box, .keySlice, .margin, .shift],
            refusals: boxesOnly, margin: 3, shift: 3, smallestObject: 100),
    ]

    private static let polypsFromBox = "polyps in single colonoscopy frames, from a box"
    private static let leftAtriumFromBoxes =
        "the left atrial cavity in 3D late gadolinium enhanced MRI, from a box in each slice"

    /// Reasons why the MedSAM recipes take boxes only.
    private static let boxesOnly: [SegmenterEntry.Option: String] = [
        .points: "its network was trained with boxes only: give a box",
        .keySlice: "it segments single frames, which have no slices",
    ]
}
