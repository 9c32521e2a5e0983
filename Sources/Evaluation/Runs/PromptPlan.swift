// SPDX-License-Identifier: Apache-2.0

public import Imaging

/// Where the prompt of a promptable segmenter comes from.
public enum PromptPlan: Sendable, Hashable, Codable {
    /// Its own prompter's, as in routine; also for segmenters that take no prompt.
    case automatic
    /// The bounding box of the truth, which no routine has: an oracle. In each slice where a frame segmenter answers a
    /// volume, on the slice with the most truth where a volume segmenter does.
    ///
    /// `enlargement` is a share of width and height, negative to shrink; `shift` a share of both in a direction drawn
    /// for each case.
    case truthBox(enlargement: Double, shift: Double)

    public static let truthBox = PromptPlan.truthBox(enlargement: 0, shift: 0)

    /// Of the prompt study.
    public static let enlargements = [-0.2, -0.1, 0, 0.1, 0.2, 0.3, 0.4, 0.5]
    public static let shifts = [0, 0.1, 0.2, 0.3]
    public static var study: [PromptPlan] {
        shifts.flatMap { shift in enlargements.map { .truthBox(enlargement: $0, shift: shift) } }
    }

    /// For keys and file names; empty for automatic prompts.
    var words: String {
        switch self {
        case .automatic: ""
        case .truthBox(let enlargement, let shift):
            "truth-box-e\(Int((enlargement * 100).rounded()))-s\(Int((shift * 100).rounded()))"
        }
    }

    /// - Returns: `nil` for automatic prompts, and where nothing is.
    func box(of truth: Mask, caseID: String) -> Box? {
        guard case .truthBox(let enlargement, let shift) = self, let tight = Self.bounds(of: truth) else { return nil }
        // The same direction for a case, whatever else is asked of it.
        var generator = SeededGenerator(seed: caseID.utf8.reduce(5381) { $0 &* 33 &+ UInt64($1) })
        let direction = Self.directions[Int.random(in: 0..<Self.directions.count, using: &generator)]
        let (width, height) = (tight.width * (1 + enlargement), tight.height * (1 + enlargement))
        let x = (tight.x0 + tight.x1) / 2 + shift * tight.width * direction.x
        let y = (tight.y0 + tight.y1) / 2 + shift * tight.height * direction.y
        // At least one pixel of the image stays inside.
        let x0 = min(max(x - width / 2, 0), Double(truth.columns - 1))
        let y0 = min(max(y - height / 2, 0), Double(truth.rows - 1))
        return Box(
            x0: x0, y0: y0, x1: max(min(x + width / 2, Double(truth.columns)), x0 + 1),
            y1: max(min(y + height / 2, Double(truth.rows)), y0 + 1))
    }

    private static let directions: [(x: Double, y: Double)] = [
        (1, 0), (0.7071, 0.7071), (0, 1), (-0.7071, 0.7071), (-1, 0), (-0.7071, -0.7071), (0, -1), (0.7071, -0.7071),
    ]

    /// The box that holds every pixel of the mask whole.
    static func bounds(of mask: Mask) -> Box? {
        var (x0, y0, x1, y1) = (mask.columns, mask.rows, 0, 0)
        for index in mask.pixels.indices where mask.pixels[index] != 0 {
            let (row, column) = (index / mask.columns, index % mask.columns)
            (x0, y0, x1, y1) = (min(x0, column), min(y0, row), max(x1, column + 1), max(y1, row + 1))
        }
        return x1 == 0 ? nil : Box(x0: Double(x0), y0: Double(y0), x1: Double(x1), y1: Double(y1))
    }
}

/// A segmenter on trial, and who prompts it.
public struct SegmenterPlan: Sendable, Hashable {
    public var segmenter: InstalledSegmenter
    public var prompt: PromptPlan
    /// A segmenter of frames also answers volumes, slice by slice.
    public var takesSlices: Bool

    public init(_ segmenter: InstalledSegmenter, prompt: PromptPlan = .automatic, takesSlices: Bool = false) {
        self.segmenter = segmenter
        self.prompt = prompt
        self.takesSlices = takesSlices
    }

    func takes(_ source: EvaluationCase) -> Bool {
        segmenter.descriptor.accepts == .volume ? source.kind == .volume : source.kind == .frame || takesSlices
    }

    /// What reports call the segmenter, without its prompt.
    public var name: String {
        segmenter.descriptor.name + (segmenter.weights.map { " on \($0.name)" } ?? "")
    }

    /// A name for folders.
    var slug: String {
        ([segmenter.descriptor.name] + [segmenter.weights?.name, prompt.words].compactMap { $0 }.filter { !$0.isEmpty })
            .joined(separator: "-")
    }
}
