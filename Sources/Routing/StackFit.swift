// SPDX-License-Identifier: Apache-2.0

public import DICOM
public import Imaging

/// Whether a segmenter can work on a stack.
public enum StackFit: Sendable, Hashable {
    /// - `sources`: indices into the stack's instances, in the order to give them to the segmenter.
    /// - `notes`: what was put up with, for the record, such as a gap that the route says to mark.
    case fit(sources: [Int], notes: [String])
    /// - `reason`: in words, without patient data.
    case unfit(reason: String)
}

extension Stack {
    /// Holds a stack against what a segmenter accepts.
    public func fit(for segmenter: SegmenterDescriptor, gaps: VolumeAssembly.Gaps = .refuse) -> StackFit {
        switch segmenter.accepts {
        case .frames: .fit(sources: Array(instances.indices), notes: [])
        case .volume: volumeFit(gaps)
        }
    }

    private func volumeFit(_ gaps: VolumeAssembly.Gaps) -> StackFit {
        if !hasGeometry {
            let cause = instances.lazy.compactMap(\.planeProblem).first ?? "no position and orientation"
            return .unfit(reason: "a volume is needed, and its images have no usable geometry: \(cause)")
        }
        if instances.contains(where: { $0.numberOfFrames > 1 }) {
            return .unfit(
                reason: "a volume is needed of single-frame images; multi-frame volumes are not supported yet")
        }
        if let colour = instances.first(where: { $0.samplesPerPixel != 1 }) {
            return .unfit(reason: "a grey volume is needed, its images have \(colour.samplesPerPixel) samples a pixel")
        }
        if instances.contains(where: { $0.frameOfReferenceUID == nil }) {
            return .unfit(reason: "a volume is needed, and its images name no frame of reference")
        }
        guard let order else {
            return .unfit(reason: "no volume: \(orderProblem ?? .tooFewSlices(instances.count))")
        }
        let doubled = Set(order.duplicates)
        if order.spacing <= 0 || instances.count - doubled.count < 2 {
            return .unfit(reason: "no volume: all slices lie at one position")
        }
        guard let problem = order.problem else { return .fit(sources: Array(instances.indices), notes: []) }
        switch gaps {
        case .refuse: return .unfit(reason: "no even volume: \(problem)")
        case .mark:
            return .fit(
                sources: Array(instances.indices), notes: ["no even volume, segmented all the same: \(problem)"])
        }
    }
}
