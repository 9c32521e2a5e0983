// SPDX-License-Identifier: Apache-2.0

import Logging
import Persistence
import Platform
import ServiceLifecycle

/// The service that notes the clocks every minute, and deletes expired files and rows every ten minutes.
///
/// While a jump of the wall clock holds deletion, the service only notes the clocks. It sweeps as soon as the hold is
/// over, and every minute while the disk is full. A sweep that needs room itself takes the spool's reserve.
final class RetentionSweeper: Service {
    /// The time between two notes of the clocks, and until the first one.
    ///
    /// The disk of a starting node has more urgent work.
    private static let interval: Duration = .seconds(60)
    /// The number of notes from one sweep to the next.
    private static let notesPerSweep = 10

    private let spool: Spool
    private let journal: Journal
    private let retention: Retention
    private let logger: Logger
    private let stop = StopFlag()
    private let wake = Signal()

    init(spool: Spool, journal: Journal, logger: Logger) {
        self.spool = spool
        self.journal = journal
        retention = Retention(journal: journal)
        self.logger = logger
    }

    func run() async throws {
        await withGracefulShutdownHandler {
            var holds = 0
            var notes = 0
            await wake.wait(atMost: Self.interval)
            while !stop.isSet, !Task.isCancelled {
                let found = await note(holding: holds)
                if found ?? holds == 0, found == nil || holds > 0 || notes % Self.notesPerSweep == 0 { await sweep() }
                holds = found ?? holds
                notes += 1
                await wake.wait(atMost: Self.interval)
            }
        } onGracefulShutdown: {
            self.stop.set()
            self.wake.raise()
        }
    }

    /// Notes the clocks, and reports new jumps.
    ///
    /// - Parameter holds: number of jumps that held deletion at the last note.
    /// - Returns: the number of jumps that hold deletion; `nil` if the journal could not be written.
    private func note(holding holds: Int) async -> Int? {
        let journal = journal
        do {
            let found = try await DedicatedThread.run(name: "kontur-retain") { try journal.noteTime() }
            if found.count > holds { Self.report(found, to: logger) }
            if found.isEmpty, holds > 0 { logger.notice("the clock is confirmed, and files are deleted again") }
            return found.count
        } catch {
            logger.warning("could not note the clocks", metadata: ["error": "\(error)"])
            return nil
        }
    }

    /// Reports the jumps that hold deletion.
    static func report(_ holds: [ClockHold], to logger: Logger) {
        guard let newest = holds.last else { return }
        logger.error(
            "the wall clock jumped: files are not deleted; confirm the clock with 'kontur spool confirm-clock'",
            metadata: [
                "clock.difference_seconds": "\(Int(newest.difference))",
                "clock.hold_seconds": "\(Int(newest.remaining))", "clock.jumps": "\(holds.count)",
            ])
    }

    private func sweep() async {
        let (retention, spool) = (retention, spool)
        do {
            let report = try await DedicatedThread.run(name: "kontur-retain") {
                defer { spool.keepReserve() }
                do { return try retention.run() } catch JournalError.full where spool.giveUpReserve() {
                    return try retention.run()
                }
            }
            if report.refused > 0 {
                logger.warning(
                    "the database does not let expired rows go; report this error",
                    metadata: ["retention.refused": "\(report.refused)"])
            }
            guard report.folders + report.instances + report.derived + report.series > 0 else { return }
            logger.info(
                "files deleted",
                metadata: [
                    "retention.folders": "\(report.folders)", "retention.instances": "\(report.instances)",
                    "retention.derived": "\(report.derived)", "retention.series": "\(report.series)",
                ])
        } catch {
            logger.warning("could not delete expired files", metadata: ["error": "\(error)"])
        }
    }
}
