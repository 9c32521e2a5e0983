// SPDX-License-Identifier: Apache-2.0

import Imaging
import Platform
import Segmentation

/// The frames of a stack in order, decoded on a thread of their own while the caller segments the frames before them.
///
/// One thread uses this object. Until `stop()` has returned, only the decoding thread reads the files of the sources.
final class DecodedFrames {
    /// A step of the decoding.
    enum Step {
        /// A frame that segmenters take.
        case frame(Frame)
        /// Frames of a source that cannot be decoded or segmented: their numbers from 1, and the index of the source.
        case lost([Int], source: Int, UndecodedFrames)
        /// What the decoder of a source mended, in words for the record.
        case remarks([String])
    }

    /// Samples that wait for the caller: several frames of a scope, but one frame of 8K.
    private static let mostSamples = 24 << 20

    private let line: DecodingLine

    /// Starts to decode.
    init(_ sources: StackSources) {
        let line = DecodingLine(sources, mostSamples: Self.mostSamples)
        self.line = line
        // Decoders need a large stack.
        DedicatedThread.start(name: "kontur-decode", stackSize: 8 << 20, yields: true) { line.run() }
    }

    /// Waits for the next step; `nil` after the last.
    func next() -> Step? { line.take() }

    /// Ends the decoding, and waits until the thread does not touch the sources any more.
    func stop() { line.stop() }
}

/// The state that the decoding thread and its caller share.
// `@unchecked`: `sources` is used by the decoding thread alone; the other variables are touched only under `condition`.
private final class DecodingLine: @unchecked Sendable {
    private let sources: StackSources
    private let mostSamples: Int
    private let condition = MonotonicCondition()
    private var steps: [DecodedFrames.Step] = []
    private var samples = 0
    private var isStopped = false
    private var hasEnded = false

    init(_ sources: StackSources, mostSamples: Int) {
        self.sources = sources
        self.mostSamples = mostSamples
    }

    /// Decodes all frames, on the decoding thread.
    func run() {
        for source in 0..<sources.count where !decode(source) { break }
        condition.withLock {
            hasEnded = true
            condition.wakeAll()
        }
    }

    /// Decodes the frames of a source.
    ///
    /// - Returns: `false` if the caller has stopped the decoding.
    private func decode(_ source: Int) -> Bool {
        let numbers = sources.frameNumbers(of: source)
        let decoder: SourceDecoder
        do {
            decoder = try sources.decoder(of: source)
        } catch {
            return add(.lost(numbers, source: source, error), samples: 0)
        }
        defer { decoder.releaseMemory() }
        for number in numbers {
            let isWanted: Bool
            do throws(UndecodedFrames) {
                let frame = try decoder.frame(number)
                if let reason = SegmenterInput.unsuitability(of: frame) {
                    throw UndecodedFrames(.unfit("frame \(number) of an instance \(reason)"), reason: "it \(reason)")
                }
                isWanted = add(.frame(frame), samples: frame.samples.count)
            } catch {
                isWanted = add(.lost([number], source: source, error), samples: 0)
            }
            guard isWanted else { return false }
        }
        return decoder.remarks.isEmpty || add(.remarks(decoder.remarks), samples: 0)
    }

    /// Adds a step, after the caller has taken enough of those before.
    private func add(_ step: DecodedFrames.Step, samples count: Int) -> Bool {
        condition.withLock {
            while !isStopped, !steps.isEmpty, samples + count > mostSamples { _ = condition.wait(timeout: nil) }
            guard !isStopped else { return false }
            steps.append(step)
            samples += count
            condition.wakeAll()
            return true
        }
    }

    func take() -> DecodedFrames.Step? {
        condition.withLock {
            while steps.isEmpty, !hasEnded { _ = condition.wait(timeout: nil) }
            guard !steps.isEmpty else { return nil }
            let step = steps.removeFirst()
            if case .frame(let frame) = step { samples -= frame.samples.count }
            condition.wakeAll()
            return step
        }
    }

    func stop() {
        condition.withLock {
            isStopped = true
            steps = []
            condition.wakeAll()
            while !hasEnded { _ = condition.wait(timeout: nil) }
        }
    }
}
