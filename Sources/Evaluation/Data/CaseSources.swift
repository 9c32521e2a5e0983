// SPDX-License-Identifier: Apache-2.0

public import DICOM
internal import Foundation
internal import Imaging

/// Cases in a folder of pictures.
///
/// The folder has the sub-folders `images` and `masks` with the same names, or pairs such as
/// `x.jpg` and `x_mask.png`. The file name extensions can differ.
public struct PictureCases: Sendable {
    /// One case per image, in the order of names.
    public var cases: [EvaluationCase] = []
    /// Names of the images that were left out because they lack a mask.
    public var unlabelled: [String] = []

    /// Suffixes that a mask's name can have behind the image's name.
    private static let markers = ["_mask", "-mask", "_seg", "-seg", "_segmentation", "_gt", "_truth"]
    private static let endings: Set<String> = ["png", "jpg", "jpeg"]

    /// Lists the cases of a folder.
    ///
    /// The result is `nil` if the folder does not contain pictures.
    ///
    /// - Parameters:
    ///   - folder: absolute path.
    ///   - unlabelledIsEmpty: whether the structure is absent from images without a mask.
    /// - Throws: `EvaluationError.unreadable`.
    public init?(folder: String, unlabelledIsEmpty: Bool = false) throws(EvaluationError) {
        var isFolder: ObjCBool = false
        let (images, masks) = ("\(folder)/images", "\(folder)/masks")
        let hasImages = FileManager.default.fileExists(atPath: images, isDirectory: &isFolder) && isFolder.boolValue
        if hasImages {
            let truth = (try? Self.pictures(in: masks)) ?? [:]
            for (stem, name) in try Self.pictures(in: images).sorted(by: { $0.key < $1.key }) {
                let mask = ([""] + Self.markers).lazy.compactMap { truth[stem + $0] }.first
                add(stem, "\(images)/\(name)", mask.map { "\(masks)/\($0)" }, unlabelledIsEmpty)
            }
        } else {
            let all = try Self.pictures(in: folder)
            for (stem, name) in all.sorted(by: { $0.key < $1.key })
            where !Self.markers.contains(where: { stem.hasSuffix($0) && all[String(stem.dropLast($0.count))] != nil }) {
                let mask = Self.markers.lazy.compactMap { all[stem + $0] }.first
                add(stem, "\(folder)/\(name)", mask.map { "\(folder)/\($0)" }, unlabelledIsEmpty)
            }
        }
        if cases.isEmpty && unlabelled.isEmpty { return nil }
    }

    private mutating func add(_ stem: String, _ image: String, _ mask: String?, _ unlabelledIsEmpty: Bool) {
        guard mask != nil || unlabelledIsEmpty else {
            unlabelled.append(stem)
            return
        }
        cases.append(
            EvaluationCase(
                id: stem, kind: .frame, isPicture: true, images: [EvaluationCase.Image(path: image)],
                truth: mask.map { .picture(path: $0) } ?? .nothing))
    }

    /// File names by their part before the extension.
    private static func pictures(in folder: String) throws(EvaluationError) -> [String: String] {
        let names: [String]
        do {
            names = try FileManager.default.contentsOfDirectory(atPath: folder)
        } catch {
            throw .unreadable(path: folder, reason: "the folder cannot be listed")
        }
        var found: [String: String] = [:]
        for name in names.sorted() where !name.hasPrefix(".") {
            let url = URL(fileURLWithPath: name)
            guard endings.contains(url.pathExtension.lowercased()) else { continue }
            let stem = url.deletingPathExtension().lastPathComponent
            if let other = found[stem] {
                throw .unreadable(path: folder, reason: "\(other) and \(name) have the same name: rename one of them")
            }
            found[stem] = name
        }
        return found
    }
}

/// Cases from DICOM series and the SEGs that reference them.
public enum SeriesCases {
    /// The cases of one stack: one volume if its slices form one, or else a case for every frame.
    ///
    /// - Parameters:
    ///   - instances: the instances of one stack, in its order.
    ///   - paths: absolute paths by SOP Instance UID.
    ///   - truth: the SEG of the stack, or `nothing`.
    ///   - id: the name of a volume's case, and the start of the names of frames.
    ///   - group: the group of the cases.
    /// - Returns: cases in the order of the stack.
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

    /// The order of the slices along the normal and their spacings; `nil` if they do not form a
    /// volume.
    private static func volume(_ instances: [InstanceHeader]) -> (order: [Int], spacing: [Double])? {
        let planes = instances.compactMap(\.plane)
        guard planes.count == instances.count,
            instances.allSatisfy({ $0.numberOfFrames <= 1 && $0.samplesPerPixel == 1 }),
            let order = try? SliceOrder(planes: planes), order.problem == nil, order.spacing > 0
        else { return nil }
        return (order.indices, [order.spacing, planes[0].rowSpacing, planes[0].columnSpacing])
    }
}
