// SPDX-License-Identifier: Apache-2.0

import Logging
import Persistence
import Platform
import ServiceLifecycle

/// The service that deletes expired files and rows, every ten minutes.
final class RetentionSweeper: Service {
    private static let interval: Duration = .seconds(600)
    private static let firstPause: Duration = .seconds(60)

    private let retention: Retention
    private let logger: Logger
    private let stop = StopFlag()
    private let wake = Signal()

    init(journal: Journal, clock: NodeClock, logger: Logger) {
        let start = clock.monotonic()
        retention = Retention(journal: journal) { clock.monotonic() - start }
        self.logger = logger
    }

    func run() async throws {
        await withGracefulShutdownHandler {
            // The disk of a starting node has more urgent work.
            await wake.wait(atMost: Self.firstPause)
            while !stop.isSet, !Task.isCancelled {
                await sweep()
                await wake.wait(atMost: Self.interval)
            }
        } onGracefulShutdown: {
            self.stop.set()
            self.wake.raise()
        }
    }

    private func sweep() async {
        let retention = retention
        do {
            let report = try await DedicatedThread.run(name: "kontur-retain") { try retention.run() }
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
