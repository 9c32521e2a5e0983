// SPDX-License-Identifier: Apache-2.0

public import DICOM
internal import Imaging

/// Cases made of DICOM series and the SEGs that refer to them.
public enum SeriesCases {
    /// The cases of one stack: a volume where its slices make one, else a case for every frame.
    ///
    /// - Parameters:
    ///   - instances: of one stack, in its order.
    ///   - paths: absolute, by SOP Instance UID.
    ///   - truth: the SEG of the stack; `nothing` for every frame and slice when it has none.
    ///   - id: names the case of a volume, and begins the names of frames.
    public static func cases(
        _ instances: [InstanceHeader], paths: [String: String], truth: EvaluationCase.Truth, id: String,
        group: String? = nil
    ) -> [EvaluationCase] {
        let images = instances.flatMap { header -> [EvaluationCase.Image] in
            guard let path = paths[header.sopInstanceUID] else { return [] }
            let count = max(1, header.numberOfFrames)
            return (1...count).map { number in
                EvaluationCase.Image(
                    path: path, sopInstanceUID: header.sopInstanceUID, frameNumber: count == 1 ? nil : number)
            }
        }
        if let (order, spacing) = volume(instances), order.count == images.count {
            return [
                EvaluationCase(
                    id: id, group: group, kind: .volume, isPicture: false, images: order.map { images[$0] },
                    truth: truth, spacing: spacing)
            ]
        }
        return images.enumerated().map { number, image in
            EvaluationCase(
                id: images.count == 1 ? id : "\(id)/\(number + 1)", group: group, kind: .frame, isPicture: false,
                images: [image], truth: truth)
        }
    }

    /// The order of slices along the normal and their spacings, if these are slices of one volume.
    private static func volume(_ instances: [InstanceHeader]) -> (order: [Int], spacing: [Double])? {
        let planes = instances.compactMap(\.plane)
        guard planes.count == instances.count,
            instances.allSatisfy({ $0.numberOfFrames <= 1 && $0.samplesPerPixel == 1 }),
            let order = try? SliceOrder(planes: planes), order.problem == nil, order.spacing > 0
        else { return nil }
        return (order.indices, [order.spacing, planes[0].rowSpacing, planes[0].columnSpacing])
    }
}
