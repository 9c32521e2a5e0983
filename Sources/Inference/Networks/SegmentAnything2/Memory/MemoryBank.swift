// SPDX-License-Identifier: Apache-2.0
//
// The choice of memories: `_prepare_memory_conditioned_features` of sam2/modeling/sam2_base.py with the options of the
// published configurations (no limit of conditioning frames, temporal stride 1).

/// The memories and object pointers that a frame attends to.
public struct MemorySelection: Sendable, Hashable {
    /// A memory of another frame.
    public struct Memory: Sendable, Hashable {
        /// The index of the frame.
        public var frame: Int
        /// 6 for a prompted frame; for a tracked one its distance - 1.
        public var temporalIndex: Int

        /// Creates a memory.
        public init(frame: Int, temporalIndex: Int) {
            self.frame = frame
            self.temporalIndex = temporalIndex
        }
    }

    /// The object pointer of another frame.
    public struct Pointer: Sendable, Hashable {
        /// The index of the frame.
        public var frame: Int
        /// The number of frames since then, in the direction of the tracking.
        public var distance: Int

        /// Creates a pointer.
        public init(frame: Int, distance: Int) {
            self.frame = frame
            self.distance = distance
        }
    }

    /// The memories: prompted frames in the order of their prompts, then tracked frames, the furthest first.
    public var memories: [Memory]
    /// The pointers: prompted frames in the order of their prompts, then tracked frames, the nearest first.
    public var pointers: [Pointer]

    /// The number of temporal indices.
    static let temporalIndices = 7

    /// Chooses the memories of a frame.
    ///
    /// A prompted frame's memory counts whatever its distance, its pointer only if the tracking has passed it.
    ///
    /// - Parameters:
    ///   - frame: the frame that attends.
    ///   - isReverse: whether the tracking goes towards frame 0.
    ///   - frames: the number of frames of the sequence.
    ///   - prompted: the prompted frames in the order of their prompts.
    ///   - tracked: the frames that were tracked without a prompt.
    public init(frame: Int, isReverse: Bool, frames: Int, prompted: [Int], tracked: Set<Int>) {
        let step = isReverse ? -1 : 1
        let last = Self.temporalIndices - 1
        memories = prompted.map { Memory(frame: $0, temporalIndex: last) }
        for distance in (1...last).reversed() where tracked.contains(frame - step * distance) {
            memories.append(Memory(frame: frame - step * distance, temporalIndex: distance - 1))
        }
        pointers = prompted.compactMap { other in
            let distance = (frame - other) * step
            return distance < 0 ? nil : Pointer(frame: other, distance: distance)
        }
        for distance in 1..<max(1, min(frames, ObjectPointers.most)) where tracked.contains(frame - step * distance) {
            pointers.append(Pointer(frame: frame - step * distance, distance: distance))
        }
    }
}

/// What a tracker keeps of a frame.
struct FrameMemory {
    /// bf16 numbers, `[grid * grid, memoryChannels]`; `nil` if no frame can attend to them any more.
    var features: [UInt16]?
    /// The object pointer, `[channels]`.
    var pointer: [Float]
    /// The answer of the frame; `nil` if it was dropped with the features.
    var answer: TrackedFrame?
}

/// The memories of the prompted and the tracked frames of one object.
struct MemoryBank {
    /// The prompted frames in the order of their prompts.
    private(set) var prompted: [(frame: Int, memory: FrameMemory)] = []
    private(set) var tracked: [Int: FrameMemory] = [:]

    /// The memory of a prompted frame, or `nil`.
    func prompted(_ frame: Int) -> FrameMemory? { prompted.first { $0.frame == frame }?.memory }

    /// Stores the memory of a prompted frame; a later prompt on the same frame keeps its place in the order.
    mutating func storePrompted(_ memory: FrameMemory, _ frame: Int) {
        if let index = prompted.firstIndex(where: { $0.frame == frame }) {
            prompted[index].memory = memory
        } else {
            prompted.append((frame, memory))
        }
    }

    /// Stores the memory of a tracked frame.
    mutating func storeTracked(_ memory: FrameMemory, _ frame: Int) { tracked[frame] = memory }

    /// Forgets what was tracked on frames that have been prompted since.
    mutating func dropTrackedOfPrompted() { for entry in prompted { tracked[entry.frame] = nil } }

    /// Forgets everything that was tracked.
    mutating func dropTracked() { tracked = [:] }

    /// Drops features and answers that no frame attends to any more.
    ///
    /// A frame that is still to be tracked lies beside `frame`, or beside the pass's first frame on its other side.
    /// Pointers are small and stay.
    mutating func dropUnreachable(from frame: Int, start: Int) {
        let reach = MemorySelection.temporalIndices - 1
        for other in tracked.keys where abs(other - frame) > reach && abs(other - start) > reach {
            tracked[other]?.features = nil
            tracked[other]?.answer = nil
        }
    }

    /// The frames whose features are in memory.
    var framesInMemory: Int { prompted.count + tracked.values.count { $0.features != nil } }

    /// The rows of the selected memories and pointers.
    ///
    /// - Parameters:
    ///   - selection: memories and pointers of this bank.
    ///   - network: knows the positions.
    ///   - frames: the number of frames of the sequence.
    /// - Returns: the rows, for the memory attention.
    /// - Throws: `ComputeError`.
    func rows(_ selection: MemorySelection, _ network: SegmentAnything2, frames: Int) throws -> MemoryRows {
        var rows = MemoryRows()
        for memory in selection.memories {
            guard let features = (prompted(memory.frame) ?? tracked[memory.frame])?.features else { continue }
            network.memoryPositions.append(features, temporalIndex: memory.temporalIndex, to: &rows)
        }
        for pointer in selection.pointers {
            guard let values = (prompted(pointer.frame) ?? tracked[pointer.frame])?.pointer else { continue }
            let position = try network.pointers.position(distance: pointer.distance, frames: frames)
            rows.values += values
            rows.keys += values.indices.map { values[$0] + position[$0 % position.count] }
        }
        return rows
    }
}
