// SPDX-License-Identifier: Apache-2.0

internal import Platform
internal import DICOM
internal import Foundation
internal import Imaging

/// One labelled case: a frame, or a volume that is scored as one.
public struct EvaluationCase: Sendable, Hashable {
    public enum Kind: String, Sendable, Hashable, Codable {
        case frame
        case volume
    }

    /// A file with pixels of the case.
    public struct Image: Sendable, Hashable {
        /// Absolute.
        public var path: String
        /// Empty for a picture.
        public var sopInstanceUID: String
        /// Counted from 1; `nil` for a picture, or for an instance of one frame.
        public var frameNumber: Int?

        public init(path: String, sopInstanceUID: String = "", frameNumber: Int? = nil) {
            self.path = path
            self.sopInstanceUID = sopInstanceUID
            self.frameNumber = frameNumber
        }
    }

    /// Where the truth comes from.
    public enum Truth: Sendable, Hashable {
        /// Nothing is there, as a polyp-free frame says by having no mask.
        case nothing
        /// A picture, of which what is brighter than 127 belongs to the structure. Masks kept as JPEG are blurred at the
        /// edge: there the same limit decides.
        case picture(path: String)
        /// A SEG whose frames refer to the images; slices that it does not mention hold nothing.
        case segmentation(path: String, segment: Int?)
    }

    /// Names the case in results, unlike any other of the set.
    public var id: String
    /// Site, patient or whatever cases may be compared by.
    public var group: String?
    public var kind: Kind
    /// PNG or JPEG files, not DICOM instances.
    public var isPicture: Bool
    /// One for a frame; in order of their position for a volume.
    public var images: [Image]
    public var truth: Truth
    /// Of slices, rows and columns, mm; `nil` for frames.
    public var spacing: [Double]?

    public init(
        id: String, group: String? = nil, kind: Kind, isPicture: Bool, images: [Image], truth: Truth,
        spacing: [Double]? = nil
    ) {
        precondition(!images.isEmpty, "a case has an image")
        precondition(kind == .frame ? images.count == 1 : spacing?.count == 3, "a volume has three spacings")
        self.id = id
        self.group = group
        self.kind = kind
        self.isPicture = isPicture
        self.images = images
        self.truth = truth
        self.spacing = spacing
    }

    /// A hash of all its files and of how they are read: a case that has changed is another case.
    public func digest() throws(EvaluationError) -> String {
        var hash = SHA256()
        for image in images {
            hash.update(data: try Self.bytes(of: image.path))
            hash.update(data: Data("\(image.frameNumber ?? 0) ".utf8))
        }
        switch truth {
        case .nothing: hash.update(data: Data("nothing".utf8))
        case .picture(let path): hash.update(data: try Self.bytes(of: path))
        case .segmentation(let path, let segment):
            hash.update(data: try Self.bytes(of: path))
            hash.update(data: Data("\(segment ?? 0)".utf8))
        }
        return hash.finalize().prefix(16).hexadecimal
    }

    private static func bytes(of path: String) throws(EvaluationError) -> Data {
        do {
            return try Data(contentsOf: URL(fileURLWithPath: path), options: .mappedIfSafe)
        } catch {
            throw .unreadable(path: path, reason: error.localizedDescription)
        }
    }
}

/// Why labelled data cannot be used.
public enum EvaluationError: Error, Sendable, Hashable, CustomStringConvertible {
    case unreadable(path: String, reason: String)
    case manifest(path: String, line: Int, reason: String)
    /// The truth does not fit the image.
    case mismatch(reason: String)
    case noCases(path: String, reason: String)
    case unwritable(path: String, reason: String)

    public var description: String {
        switch self {
        case .unreadable(let path, let reason): "could not read \(path): \(reason)"
        case .manifest(let path, let line, let reason): "\(path):\(line): \(reason)"
        case .mismatch(let reason): "the truth does not fit the image: \(reason)"
        case .noCases(let path, let reason): "\(path) holds no labelled case: \(reason)"
        case .unwritable(let path, let reason): "could not write \(path): \(reason)"
        }
    }
}
