// SPDX-License-Identifier: Apache-2.0

import Imaging
import Platform
import Supervision

/// Draws and writes the pictures of frames on a thread of its own, while the caller segments the next frames.
///
/// One thread uses this object. It does nothing if the request asks for neither overlays nor masks.
final class PictureLine {
    /// Frames that wait to be drawn.
    private static let mostWaiting = 4

    private let line: DrawingLine?

    /// Starts to wait for frames.
    init(_ request: SegmentRequest) {
        guard request.overlayFolder != nil || request.maskFolder != nil else {
            line = nil
            return
        }
        let line = DrawingLine(request, mostWaiting: Self.mostWaiting)
        self.line = line
        DedicatedThread.start(name: "kontur-draw", yields: true) { line.run() }
    }

    /// Has the pictures of a frame written.
    ///
    /// - Parameters:
    ///   - frame: the source.
    ///   - mask: of the frame's size.
    ///   - index: the frame's number in the stack from 0.
    func add(_ frame: Frame, mask: Mask, index: Int) {
        line?.add(DrawingLine.Work(frame: frame, mask: mask, index: index))
    }

    /// Waits until all pictures are written.
    ///
    /// - Returns: the paths of the overlays and of the masks.
    /// - Throws: the first `Refusal`.
    func finish() throws(Refusal) -> (overlays: [String], masks: [String]) { try line?.finish() ?? ([], []) }

    /// Drops the frames that wait, and waits until the thread does not write any more.
    func stop() { _ = try? line?.finish(dropping: true) }
}

/// The state that the drawing thread and its caller share.
// `@unchecked`: the variables are touched only under `condition`; `request` does not change.
private final class DrawingLine: @unchecked Sendable {
    struct Work {
        let frame: Frame
        let mask: Mask
        let index: Int
    }

    private let request: SegmentRequest
    private let mostWaiting: Int
    private let condition = MonotonicCondition()
    private var waiting: [Work] = []
    private var isClosed = false
    private var hasEnded = false
    private var overlays: [String] = []
    private var masks: [String] = []
    private var refusal: Refusal?

    init(_ request: SegmentRequest, mostWaiting: Int) {
        self.request = request
        self.mostWaiting = mostWaiting
    }

    /// Draws until the line is closed, on the drawing thread.
    func run() {
        while let work = next() {
            do {
                let overlay = try request.overlay(work.frame, mask: work.mask, index: work.index)
                let mask = try request.maskPicture(work.mask, index: work.index)
                condition.withLock {
                    overlays += overlay
                    masks += mask
                }
            } catch {
                condition.withLock { refusal = refusal ?? error }
            }
        }
        condition.withLock {
            hasEnded = true
            condition.wakeAll()
        }
    }

    private func next() -> Work? {
        condition.withLock {
            while waiting.isEmpty, !isClosed { _ = condition.wait(timeout: nil) }
            guard !waiting.isEmpty else { return nil }
            let work = waiting.removeFirst()
            condition.wakeAll()
            return work
        }
    }

    func add(_ work: Work) {
        condition.withLock {
            while waiting.count >= mostWaiting { _ = condition.wait(timeout: nil) }
            // After a refusal, no other picture is needed.
            if refusal == nil { waiting.append(work) }
            condition.wakeAll()
        }
    }

    func finish(dropping: Bool = false) throws(Refusal) -> (overlays: [String], masks: [String]) {
        let (paths, refusal) = condition.withLock {
            isClosed = true
            if dropping { waiting = [] }
            condition.wakeAll()
            while !hasEnded { _ = condition.wait(timeout: nil) }
            return ((overlays, masks), self.refusal)
        }
        if let refusal { throw refusal }
        return paths
    }
}
