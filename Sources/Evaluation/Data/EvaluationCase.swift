// SPDX-License-Identifier: Apache-2.0

internal import Foundation
internal import Platform

/// One labelled case: a frame, or a volume that is scored as a whole.
public struct EvaluationCase: Sendable, Hashable {
    /// The kind of image.
    public enum Kind: String, Sendable, Hashable, Codable {
        /// A single frame.
        case frame
        /// The slices of one volume.
        case volume
    }

    /// One frame or slice of the case, in its file.
    public struct Image: Sendable, Hashable {
        /// Absolute path of the file.
        public var path: String
        /// SOP Instance UID; empty for a picture.
        public var sopInstanceUID: String
        /// Frame Number, from 1; `nil` for a picture, or for an instance with one frame.
        public var frameNumber: Int?

        /// A picture, unless a UID is given.
        public init(path: String, sopInstanceUID: String = "", frameNumber: Int? = nil) {
            self.path = path
            self.sopInstanceUID = sopInstanceUID
            self.frameNumber = frameNumber
        }
    }

    /// The source of the true mask.
    public enum Truth: Sendable, Hashable {
        /// The structure is absent, such as in a frame without a polyp.
        case nothing
        /// A picture whose pixels brighter than 127 belong to the structure. This holds for blurred JPEG files, too.
        case picture(path: String)
        /// A SEG whose frames reference the images. The structure is absent from slices without a
        /// SEG frame.
        case segmentation(path: String, segment: Int?)
    }

    /// Name of the case, unique in the data set.
    public var id: String
    /// A site, a patient or another group by which cases are compared.
    public var group: String?
    /// Frame or volume.
    public var kind: Kind
    /// Whether the images are PNG or JPEG files, not DICOM instances.
    public var isPicture: Bool
    /// One image for a frame; slices in the order of their position for a volume.
    public var images: [Image]
    /// The source of the true mask.
    public var truth: Truth
    /// Spacing of slices, rows and columns, mm; `nil` for frames.
    public var spacing: [Double]?

    /// A case with one image, or with slices and three spacings.
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

    /// A digest of the case's files and of the way in which they are read, which tells if a case
    /// has changed.
    ///
    /// - Returns: 32 hexadecimal digits.
    /// - Throws: `EvaluationError.unreadable`.
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

/// The reasons why labelled data cannot be used.
public enum EvaluationError: Error, Sendable, Hashable, CustomStringConvertible {
    /// A file or folder cannot be read.
    case unreadable(path: String, reason: String)
    /// A line of the table of cases is wrong.
    case manifest(path: String, line: Int, reason: String)
    /// The truth does not fit the image.
    case mismatch(reason: String)
    /// The data does not contain a labelled case.
    case noCases(path: String, reason: String)
    /// A file of the output folder cannot be written.
    case unwritable(path: String, reason: String)

    /// What is wrong, and where.
    public var description: String {
        switch self {
        case .unreadable(let path, let reason): "could not read \(path): \(reason)"
        case .manifest(let path, let line, let reason): "\(path):\(line): \(reason)"
        case .mismatch(let reason): "the truth does not fit the image: \(reason)"
        case .noCases(let path, let reason): "\(path) does not contain a labelled case: \(reason)"
        case .unwritable(let path, let reason): "could not write \(path): \(reason)"
        }
    }
}
