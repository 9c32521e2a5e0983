// SPDX-License-Identifier: Apache-2.0

internal import Imaging
internal import Inference

final class SamBox: InstalledRecipe {
    static let entry = PromptedTarget.polyp.entry(
        name: "sam-box", version: "1.0.0", family: .sam,
        title: "polyps in single colonoscopy frames, from a box",
        paper: "Kirillov 2023 (Segment Anything)",
        options: [.box, .points, .margin, .shift])

    let descriptor: SegmenterDescriptor

    init(_ descriptor: SegmenterDescriptor, weights: SafeTensors, precision: Precision) throws {
        self.descriptor = descriptor
    }

    func segment(
        _ input: SegmenterInput, options: SegmenterOptions, trace: (any SegmentationTrace)?,
        progress: (Int, Int) -> Void
    ) throws -> SegmenterResult {
        throw SegmentationError.unsuitable(segmenter: descriptor.name, reason: "its network is not built in")
    }
}
