// SPDX-License-Identifier: Apache-2.0

internal import Foundation
internal import Imaging

/// Cases in a folder of pictures: `images/` and `masks/` with the same names, or pairs in one folder (`x.jpg` and
/// `x_mask.png`). Endings may differ.
public struct PictureCases: Sendable {
    public var cases: [EvaluationCase] = []
    /// Images that have no mask, by name: left out, unless they are said to hold nothing.
    public var unlabelled: [String] = []

    /// What may stand behind an image's name in that of its mask.
    private static let markers = ["_mask", "-mask", "_seg", "-seg", "_segmentation", "_gt", "_truth"]
    private static let endings: Set<String> = ["png", "jpg", "jpeg"]

    /// - Parameters:
    ///   - folder: absolute.
    ///   - unlabelledIsEmpty: take images without a mask for images in which nothing is.
    /// - Returns: `nil` when the folder holds no pictures.
    /// - Throws: `EvaluationError`.
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

    /// File names by what stands before their ending.
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
                throw .unreadable(path: folder, reason: "\(other) and \(name) are one case: rename one of them")
            }
            found[stem] = name
        }
        return found
    }
}
