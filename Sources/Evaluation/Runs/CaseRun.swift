// SPDX-License-Identifier: Apache-2.0

internal import DICOM
internal import Foundation
internal import Imaging
internal import Segmentation
internal import Supervision

/// One case with one segmenter: asks a worker, reads its masks and scores them.
struct CaseRun: Sendable {
    let source: EvaluationCase
    let plan: SegmenterPlan
    /// Absolute; masks go below it.
    let output: String
    let pool: WorkerPool

    /// - Returns: a result with scores or with a failure; `nil` when the plan has no prompt for a case in which nothing is,
    ///   or when the pool was stopped.
    func perform() async -> CaseResult? {
        let digest: String
        do {
            digest = try source.digest()
        } catch {
            return failed("\(error)", digest: "")
        }
        let (source, folder) = (source, maskFolder)
        let loading = await Blocking.run { Result { try LoadedCase(source) } }
        guard case .success(let loaded) = loading else {
            guard case .failure(let error) = loading else { return nil }
            return failed("\(error)", digest: digest)
        }
        guard let questions = questions(truth: loaded.truth) else { return nil }
        try? FileManager.default.removeItem(atPath: folder)
        var answer = CaseAnswer()
        for question in questions {
            switch await ask(question, &answer) {
            case .answered: continue
            case .failed(let reason): return failed(reason, digest: digest)
            case .stopped: return nil
            }
        }
        let blank = CaseResult(source, digest: digest, plan: plan)
        let (asked, output) = (answer, output)
        let candidates = choosesAmongMasks ? candidateFolder : nil
        return await Blocking.run {
            var result = blank
            do {
                try result.score(asked, loaded, source, output: output)
                if let candidates {
                    result.yardsticks = try Yardstick.all(path: "\(candidates)/0001.json", truth: loaded.truth[0])
                    try? FileManager.default.removeItem(atPath: candidates)
                }
            } catch {
                result.failure = "\(error)"
            }
            return result
        }
    }

    private func failed(_ reason: String, digest: String) -> CaseResult {
        var result = CaseResult(source, digest: digest, plan: plan)
        result.failure = reason
        return result
    }

    private var maskFolder: String { "\(output)/masks/\(plan.slug)/\(FileNames.plain(source.id))" }

    private var candidateFolder: String { "\(maskFolder)/candidates" }

    /// Volumes are not compared with other choices: there is no one mask of them.
    private var choosesAmongMasks: Bool {
        let entry = try? Segmenters.entry(plan.segmenter.descriptor.name)
        return source.kind == .frame && entry?.choosesAmongMasks == true
    }

    // MARK: what is asked

    /// A part of a case that goes to a worker in one request.
    struct Question {
        /// Indices into the images.
        var images: Range<Int>
        var options: SegmenterOptions
    }

    private func questions(truth: [Mask]) -> [Question]? {
        let all = Question(images: 0..<source.images.count, options: .none)
        guard plan.prompt != .automatic else { return [all] }
        if source.kind == .volume, plan.segmenter.descriptor.accepts == .frames {
            let each = truth.indices.compactMap { slice in
                plan.prompt.box(of: truth[slice], caseID: source.id).map {
                    Question(images: slice..<slice + 1, options: SegmenterOptions(box: $0))
                }
            }
            return each.isEmpty ? nil : each
        }
        // The slice with the most truth; the only one of a frame.
        guard let key = truth.indices.max(by: { truth[$0].area < truth[$1].area }),
            let box = plan.prompt.box(of: truth[key], caseID: source.id)
        else { return nil }
        var question = all
        question.options.box = box
        if source.kind == .volume { question.options.keySlice = key + 1 }
        return [question]
    }

    enum Outcome {
        case answered
        case failed(String)
        case stopped
    }

    private func ask(_ question: Question, _ answer: inout CaseAnswer) async -> Outcome {
        let images = Array(source.images[question.images])
        let root = FileNames.commonFolder(of: images.map(\.path))
        let request = SegmentRequest(
            run: UUID().uuidString.lowercased(), folder: root, form: source.isPicture ? .pictures : .instances,
            sources: images.map { image in
                SegmentRequest.Source(
                    path: String(image.path.dropFirst(root.count).drop { $0 == "/" }),
                    sopInstanceUID: image.sopInstanceUID, frameNumbers: image.frameNumber.map { [$0] })
            },
            segmenter: plan.segmenter.descriptor, weights: plan.segmenter.weights, options: question.options,
            outputs: [], maskFolder: "\(maskFolder)/\(question.images.lowerBound + 1)",
            candidateFolder: choosesAmongMasks ? candidateFolder : nil)
        let measures = MeasureSum()
        let result: WorkResult
        do {
            result = try await pool.perform(.segment(request: request), measured: { measures.add($0) })
        } catch {
            return .failed("\(error)")
        }
        answer.add(measures)
        switch result {
        case .response(.segmented(let outcome)):
            answer.take(outcome, images: question.images)
            return .answered
        case .stopped: return .stopped
        case .response(.quarantine(let reason)), .response(.unfit(let reason)), .response(.failed(let reason)),
            .response(.hindered(let reason)):
            return .failed(reason)
        case .response(.indexed): return .failed("the worker answered another question")
        case .workerDied(let death): return .failed("\(death)")
        case .overran(let overrun): return .failed("the worker used too much \(overrun.rawValue) and was stopped")
        case .notStarted(let error): return .failed("\(error)")
        }
    }
}
