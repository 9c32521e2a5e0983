// SPDX-License-Identifier: Apache-2.0

/// The sizes of a Hiera trunk (Ryali 2023) that its tensors do not show all.
///
/// The published ones are those of sam2/configs in facebookresearch/sam2.
public struct HieraArchitecture: Sendable, Hashable, Codable {
    /// The number of channels of the first stage; each further stage doubles it.
    public var width: Int
    /// The number of heads of the first stage; each further stage doubles it.
    public var heads: Int
    /// The number of blocks of each of the four stages.
    public var stages: [Int]
    /// The blocks that attend to the whole grid.
    public var globalBlocks: Set<Int>
    /// Height and width of the attention's windows in each stage.
    public var windows: [Int]

    /// Creates an architecture; `stages` and `windows` have four elements.
    public init(width: Int, heads: Int, stages: [Int], globalBlocks: Set<Int>, windows: [Int]) {
        precondition(stages.count == 4 && windows.count == 4, "Hiera has four stages")
        self.width = width
        self.heads = heads
        self.stages = stages
        self.globalBlocks = globalBlocks
        self.windows = windows
    }

    /// Whether the sizes can be those of a trunk; a file can claim any.
    var isValid: Bool {
        stages.count == 4 && windows.count == 4 && (1...4096).contains(width) && (1...width).contains(heads)
            && width % heads == 0 && stages.allSatisfy { (1...64).contains($0) }
            && windows.allSatisfy { (1...64).contains($0) } && globalBlocks.allSatisfy { (0..<blocks).contains($0) }
    }

    /// A published trunk and its short name.
    public struct Published: Sendable, Hashable {
        /// The suffix of the configuration's name: `t`, `s`, `b+` or `l`.
        public var name: String
        /// The word in the names of checkpoint files, such as `tiny`.
        public var word: String
        /// Its sizes.
        public var architecture: HieraArchitecture
    }

    /// The published trunks: tiny, small, base plus and large.
    public static let published = [
        Published(
            name: "t", word: "tiny",
            architecture: HieraArchitecture(
                width: 96, heads: 1, stages: [1, 2, 7, 2], globalBlocks: [5, 7, 9], windows: [8, 4, 14, 7])),
        Published(
            name: "s", word: "small",
            architecture: HieraArchitecture(
                width: 96, heads: 1, stages: [1, 2, 11, 2], globalBlocks: [7, 10, 13], windows: [8, 4, 14, 7])),
        Published(
            name: "b+", word: "base_plus",
            architecture: HieraArchitecture(
                width: 112, heads: 2, stages: [2, 3, 16, 3], globalBlocks: [12, 16, 20], windows: [8, 4, 14, 7])),
        Published(
            name: "l", word: "large",
            architecture: HieraArchitecture(
                width: 144, heads: 2, stages: [2, 6, 36, 4], globalBlocks: [23, 33, 43], windows: [8, 4, 16, 8])),
    ]

    /// The published trunk with this width and number of blocks, or `nil`.
    public static func published(width: Int, blocks: Int) -> Published? {
        published.first { $0.architecture.width == width && $0.architecture.blocks == blocks }
    }

    /// The name of the trunk for people: `Hiera-B+`, or width and number of blocks of another one, `Hiera 16/8`.
    var title: String {
        let published = Self.published.first { $0.architecture == self }
        return published.map { "Hiera-\($0.name.uppercased())" } ?? "Hiera \(width)/\(blocks)"
    }

    /// The number of blocks.
    public var blocks: Int { stages.reduce(0, +) }

    /// The sizes of one block.
    struct Block {
        let inputs: Int
        let outputs: Int
        let heads: Int
        /// Height and width of a window of keys; 0 means the whole grid.
        let window: Int
        /// Whether the block halves height and width.
        let pools: Bool
        /// The stage whose output is this block's, or `nil`.
        let endsStage: Int?
    }

    /// The sizes of all blocks, in order.
    ///
    /// The first block of a stage doubles the channels and pools its queries. Its window is still that of the stage
    /// before.
    var table: [Block] {
        stages.indices.flatMap { stage in
            (0..<stages[stage]).map { place in
                let first = place == 0 && stage > 0
                let index = stages[..<stage].reduce(0, +) + place
                return Block(
                    inputs: width << (first ? stage - 1 : stage), outputs: width << stage, heads: heads << stage,
                    window: globalBlocks.contains(index) ? 0 : windows[first ? stage - 1 : stage], pools: first,
                    endsStage: place == stages[stage] - 1 ? stage : nil)
            }
        }
    }
}
