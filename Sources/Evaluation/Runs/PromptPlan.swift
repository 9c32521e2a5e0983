// SPDX-License-Identifier: Apache-2.0

public import Imaging

/// The source of a promptable segmenter's prompt.
public enum PromptPlan: Sendable, Hashable, Codable {
    /// The segmenter's own prompter, as in routine use. Segmenters without prompts have this plan
    /// too.
    case automatic
    /// The bounding box of the truth, which routine use lacks.
    ///
    /// A frame segmenter gets a box in each slice of a volume. A volume segmenter gets a box on the
    /// slice with the largest true mask. `enlargement` is a fraction of width and height, negative
    /// to shrink. `shift` is a fraction of both, in a direction that is drawn for each case.
    case truthBox(enlargement: Double, shift: Double)
    /// The unchanged bounding box of the truth on some slices of a volume, for segmenters of volumes.
    ///
    /// A place is a fraction of the way from the first slice with truth (0) to the last one (1).
    case keyBoxes(places: [Double])

    /// The unchanged bounding box of the truth.
    public static let truthBox = PromptPlan.truthBox(enlargement: 0, shift: 0)

    /// Enlargements of the prompt study.
    public static let enlargements = [-0.2, -0.1, 0, 0.1, 0.2, 0.3, 0.4, 0.5]
    /// Shifts of the prompt study.
    public static let shifts = [0, 0.1, 0.2, 0.3]
    /// Every enlargement and shift of the prompt study.
    public static var study: [PromptPlan] {
        shifts.flatMap { shift in enlargements.map { .truthBox(enlargement: $0, shift: shift) } }
    }
    /// One box at a quarter, at the middle and at three quarters of the structure.
    public static let onePlace: [PromptPlan] = [0.25, 0.5, 0.75].map { .keyBoxes(places: [$0]) }
    /// 2, 3 and 5 boxes, evenly spaced over the structure.
    public static let severalPlaces: [PromptPlan] = [2, 3, 5].map { count in
        .keyBoxes(places: (0..<count).map { (Double($0) + 0.5) / Double(count) })
    }

    /// The plan in tables and file names; empty for automatic prompts.
    var words: String {
        switch self {
        case .automatic: ""
        case .truthBox(let enlargement, let shift):
            "truth-box-e\(Int((enlargement * 100).rounded()))-s\(Int((shift * 100).rounded()))"
        case .keyBoxes(let places):
            "key-boxes-" + places.map { String(Int(($0 * 100).rounded())) }.joined(separator: "-")
        }
    }

    /// The slices whose truth gives the boxes of a volume that is tracked; empty for automatic prompts and without
    /// truth.
    ///
    /// - Parameter truth: the true mask of every slice.
    /// - Returns: indices, without repetition. Every slice has truth.
    package func keySlices(of truth: [Mask]) -> [Int] {
        let marked = truth.indices.filter { truth[$0].area > 0 }
        guard let first = marked.first, let last = marked.last else { return [] }
        switch self {
        case .automatic: return []
        case .truthBox: return marked.max { truth[$0].area < truth[$1].area }.map { [$0] } ?? []
        case .keyBoxes(let places):
            return places.reduce(into: []) { keys, place in
                let wanted = Double(first) + place * Double(last - first)
                // The first of equally near slices.
                let key = marked.min { abs(Double($0) - wanted) < abs(Double($1) - wanted) }
                if let key, !keys.contains(key) { keys.append(key) }
            }
        }
    }

    /// The box of a plan that takes it from the truth.
    ///
    /// - Parameters:
    ///   - truth: the true mask.
    ///   - caseID: decides the direction of the shift.
    /// - Returns: XYXY in pixels; `nil` for automatic prompts and for an empty truth.
    func box(of truth: Mask, caseID: String) -> Box? {
        let enlargement: Double
        let shift: Double
        switch self {
        case .automatic: return nil
        case .truthBox(let wider, let moved): (enlargement, shift) = (wider, moved)
        case .keyBoxes: (enlargement, shift) = (0, 0)
        }
        guard let tight = Self.bounds(of: truth) else { return nil }
        // A case keeps its direction in every plan.
        var generator = SplitMix64(seed: caseID.utf8.reduce(5381) { $0 &* 33 &+ UInt64($1) })
        let direction = Self.directions[Int.random(in: 0..<Self.directions.count, using: &generator)]
        let (width, height) = (tight.width * (1 + enlargement), tight.height * (1 + enlargement))
        let x = (tight.x0 + tight.x1) / 2 + shift * tight.width * direction.x
        let y = (tight.y0 + tight.y1) / 2 + shift * tight.height * direction.y
        // The box keeps at least one pixel of the image.
        let x0 = min(max(x - width / 2, 0), Double(truth.columns - 1))
        let y0 = min(max(y - height / 2, 0), Double(truth.rows - 1))
        return Box(
            x0: x0, y0: y0, x1: max(min(x + width / 2, Double(truth.columns)), x0 + 1),
            y1: max(min(y + height / 2, Double(truth.rows)), y0 + 1))
    }

    private static let directions: [(x: Double, y: Double)] = [
        (1, 0), (0.7071, 0.7071), (0, 1), (-0.7071, 0.7071), (-1, 0), (-0.7071, -0.7071), (0, -1), (0.7071, -0.7071),
    ]

    /// The smallest box that holds every set pixel, XYXY with the end excluded; `nil` for an empty
    /// mask.
    static func bounds(of mask: Mask) -> Box? {
        var (x0, y0, x1, y1) = (mask.columns, mask.rows, 0, 0)
        for index in mask.pixels.indices where mask.pixels[index] != 0 {
            let (row, column) = (index / mask.columns, index % mask.columns)
            (x0, y0, x1, y1) = (min(x0, column), min(y0, row), max(x1, column + 1), max(y1, row + 1))
        }
        return x1 == 0 ? nil : Box(x0: Double(x0), y0: Double(y0), x1: Double(x1), y1: Double(y1))
    }
}

/// A segmenter to evaluate, with the source of its prompt.
public struct SegmenterPlan: Sendable, Hashable {
    /// The segmenter with its weights.
    public var segmenter: InstalledSegmenter
    /// The source of the prompt.
    public var prompt: PromptPlan
    /// Whether a segmenter of frames also segments volumes, slice by slice.
    public var takesSlices: Bool

    /// A plan, by default with the prompts of routine use.
    public init(_ segmenter: InstalledSegmenter, prompt: PromptPlan = .automatic, takesSlices: Bool = false) {
        self.segmenter = segmenter
        self.prompt = prompt
        self.takesSlices = takesSlices
    }

    /// Whether the segmenter accepts the case.
    func takes(_ source: EvaluationCase) -> Bool {
        segmenter.descriptor.accepts == .volume ? source.kind == .volume : source.kind == .frame || takesSlices
    }

    /// The segmenter's name in reports, without its prompt.
    public var name: String {
        segmenter.descriptor.name + (segmenter.weights.map { " on \($0.name)" } ?? "")
    }

    /// The plan's name in folders.
    var slug: String {
        ([segmenter.descriptor.name] + [segmenter.weights?.name, prompt.words].compactMap { $0 }.filter { !$0.isEmpty })
            .joined(separator: "-")
    }
}
