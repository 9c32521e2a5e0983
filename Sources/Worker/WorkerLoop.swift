// SPDX-License-Identifier: Apache-2.0

import DICOM
import Platform
public import Supervision

/// The life of a worker process: the command `kontur worker --role index|segment --threads N`.
///
/// Requests come in on standard input, one JSON line each. Progress and answers leave on the descriptor that was
/// standard output when the process started. The process ends when its input closes, even in the middle of a request,
/// because the supervisor then does not wait for the answer any more.
public enum WorkerLoop {
    /// Answers requests until the input closes; never returns.
    ///
    /// - Parameters:
    ///   - role: the kind of requests that are answered.
    ///   - threads: computing threads, fixed for the life of the process.
    public static func run(role: WorkerRole, threads: Int) -> Never {
        let channel = WorkerChannel()
        // Decoders need a large stack, and only a thread of one's own has a stack of a known size.
        DedicatedThread.start(name: "kontur-worker", stackSize: 8 << 20) {
            var handler: any RequestHandler = role == .index ? IndexHandler() : SegmentHandler(threads: threads)
            while true { channel.answer(channel.nextLine(), with: &handler) }
        }
        channel.readUntilClosed()
    }
}

/// Answers the requests of one role, on one thread.
protocol RequestHandler {
    /// Answers one request.
    ///
    /// - Parameters:
    ///   - request: a request of any role. A handler refuses a request of another role.
    ///   - progress: reports each step, which restarts the supervisor's watch.
    /// - Returns: the answer.
    mutating func answer(_ request: WorkRequest, progress: (WorkProgress) -> Void) -> WorkResponse
}

/// Reads the header of one received file and hashes its image and attributes, or compares the images of two files.
struct IndexHandler: RequestHandler {
    mutating func answer(_ request: WorkRequest, progress: (WorkProgress) -> Void) -> WorkResponse {
        switch request {
        case .index(let request): index(request)
        case .compare(let request): compare(request, progress: progress)
        case .segment: .failed(reason: "this worker only indexes")
        }
    }

    private func compare(_ request: CompareRequest, progress: (WorkProgress) -> Void) -> WorkResponse {
        do {
            let (file, other) = (try InstanceFile(path: request.path), try InstanceFile(path: request.otherPath))
            let isSame = try file.showsSameImage(as: other) { done, total in
                progress(WorkProgress(phase: .reading, done: done, total: total))
            }
            return .compared(isSameImage: isSame)
        } catch {
            return .failed(reason: "\(error)")
        }
    }

    private func index(_ request: IndexRequest) -> WorkResponse {
        let header: InstanceHeader
        let digests: (image: String, attributes: [String: String])
        do {
            let file = try InstanceFile(
                path: request.path, inflatedLimit: request.largestDataSet, keepsInflated: true)
            (header, digests) = (file.header, try file.digests())
        } catch {
            // A file that cannot be opened now may be opened later: a failing disk, or too many open files.
            if case .cannotOpen = error { return .hindered(reason: "\(error)") }
            return .quarantine(reason: "\(error)")
        }
        // The Affected SOP Class and Instance UID of the command must be those of the data set: PS3.7 9.1.1.1.
        if let expected = request.sopInstanceUID, expected != header.sopInstanceUID {
            return .quarantine(reason: "SOP Instance UID differs from the one in the C-STORE command")
        }
        if let expected = request.sopClassUID, expected != header.sopClassUID {
            return .quarantine(reason: "SOP Class UID differs from the one in the C-STORE command")
        }
        guard let stored = try? StoredHeader(header) else { return .quarantine(reason: "its header cannot be encoded") }
        return .indexed(
            header: stored, patientID: header.patientID, imageDigest: digests.image,
            attributes: AttributeDigests(digests.attributes))
    }
}
