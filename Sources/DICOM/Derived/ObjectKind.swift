// SPDX-License-Identifier: Apache-2.0

/// The kinds of objects that Kontur makes of one answer.
///
/// A job makes at most one object of each kind. Everything that holds for objects holds for each kind by itself: a kind
/// has UIDs of its own, an object replaces the older objects of its kind, and each object has its own deliveries.
public enum ObjectKind: Sendable, Hashable {
    /// A SEG or label map, in the form that the viewers of a profile need.
    case segmentation(ViewerProfile.Name)
    /// A measurement report, which refers to the SEG of a profile.
    case report(ViewerProfile.Name)
    /// Secondary captures with burnt-in contours.
    case pictures

    /// SOP Class UID of the objects.
    public var sopClassUID: String {
        switch self {
        case .segmentation(let profile):
            ViewerProfile.named(profile).isLabelMap ? SOPClass.labelMapSegmentation : SOPClass.segmentation
        case .report: SOPClass.comprehensiveSR
        case .pictures: SOPClass.multiFrameTrueColorSecondaryCapture
        }
    }

    /// Series Number of the objects of a stack without a label.
    public var seriesNumber: Int {
        switch self {
        case .segmentation: 9000
        case .report: 9001
        case .pictures: 9002
        }
    }

    /// Whether there is an object if the segmenter finds nothing.
    public var saysNothingFound: Bool {
        switch self {
        case .report: true
        case .segmentation, .pictures: false
        }
    }

    /// Whether the masks of the answer can be read back from the object.
    public var holdsAnswer: Bool {
        switch self {
        case .segmentation: true
        case .report, .pictures: false
        }
    }

    /// The kind in words, for tables and logs.
    public var inWords: String {
        switch self {
        case .segmentation: "SEG"
        case .report: "report"
        case .pictures: "pictures"
        }
    }

    /// The words that Series Description adds after the name of the segment.
    var seriesWords: String {
        switch self {
        case .segmentation: ""
        case .report: " report"
        case .pictures: " pictures"
        }
    }
}

extension ObjectKind: RawRepresentable, Codable {
    /// The stable name of a kind, which UIDs, rows and names of files hold.
    ///
    /// A SEG has the name of its viewer profile.
    public var rawValue: String {
        switch self {
        case .segmentation(let profile): profile.rawValue
        case .report(let profile): Self.reportPrefix + profile.rawValue
        case .pictures: "pictures"
        }
    }

    /// The kind of a name; `nil` if no kind has the name.
    public init?(rawValue: String) {
        if let profile = ViewerProfile.Name(rawValue: rawValue) {
            self = .segmentation(profile)
        } else if rawValue == ObjectKind.pictures.rawValue {
            self = .pictures
        } else if rawValue.hasPrefix(Self.reportPrefix),
            let profile = ViewerProfile.Name(rawValue: String(rawValue.dropFirst(Self.reportPrefix.count)))
        {
            self = .report(profile)
        } else {
            return nil
        }
    }

    private static let reportPrefix = "report-"
}
