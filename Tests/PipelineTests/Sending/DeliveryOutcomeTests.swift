// SPDX-License-Identifier: Apache-2.0

import DICOM
import Pipeline
import Testing

@Suite struct DeliveryOutcomeTests {
    private enum Meaning { case sent, retry, dead }

    private func meaning(_ outcome: DeliveryOutcome) -> Meaning {
        switch outcome {
        case .sent: .sent
        case .retry: .retry
        case .dead: .dead
        }
    }

    @Test(arguments: [0x0000, 0xB000, 0xB006, 0xB007, 0x0111] as [UInt16])
    func `these statuses say that the peer has the object`(status: UInt16) {
        #expect(DeliveryOutcome(status: DIMSEStatus(rawValue: status)) == .sent(status: status))
    }

    @Test(arguments: [0x0001, 0x0107, 0x0116, 0xB000, 0xB006, 0xB007, 0xB123] as [UInt16])
    func `a warning says that the object is stored, and the record says what the peer complains about`(
        status: UInt16
    ) throws {
        #expect(DeliveryOutcome(status: DIMSEStatus(rawValue: status)) == .sent(status: status))
        let warning = try #require(DeliveryOutcome.warning(for: status))
        #expect(warning.hasPrefix("stored with a warning: ") && warning.contains("\(DIMSEStatus(rawValue: status))"))
        #expect(DeliveryOutcome.warning(for: 0x0000) == nil && DeliveryOutcome.warning(for: 0x0111) == nil)
    }

    @Test(arguments: [0xA700, 0xA701, 0x0110] as [UInt16])
    func `these statuses are tried again`(status: UInt16) {
        #expect(meaning(DeliveryOutcome(status: DIMSEStatus(rawValue: status))) == .retry)
    }

    @Test(arguments: [0x0117, 0x0122, 0x0124, 0xA900, 0xA9FF, 0xC000, 0xC123] as [UInt16])
    func `these statuses are final`(status: UInt16) {
        #expect(meaning(DeliveryOutcome(status: DIMSEStatus(rawValue: status))) == .dead)
    }

    @Test func `no presentation context is final and a broken association says nothing about the object`() throws {
        let refused = AssociationError.noPresentationContext(sopClassUID: "1.2", transferSyntaxUID: "1.3")
        let dead = try #require(DeliveryOutcome(refused))
        #expect(meaning(dead) == .dead)
        let labelMap = AssociationError.noPresentationContext(
            sopClassUID: "1.2.840.10008.5.1.4.1.1.66.7", transferSyntaxUID: "1.2.840.10008.1.2.1")
        #expect(
            DeliveryOutcome(labelMap)
                == .dead(
                    reason: "the peer does not take Label Map Segmentation Storage (1.2.840.10008.5.1.4.1.1.66.7) in "
                        + "transfer syntax 1.2.840.10008.1.2.1 or 1.2.840.10008.1.2; let it take this class, or do not "
                        + "send it such objects")
        )
        #expect(DeliveryOutcome(.connectionLost(reason: "")) == nil)
        #expect(DeliveryOutcome(.rejected(.localLimitExceeded)) == nil)
        let unreadable = try #require(DeliveryOutcome(.unreadableFile(reason: "")))
        #expect(meaning(unreadable) == .retry)
    }
}

@Suite struct BackoffTests {
    @Test func `waits double from five seconds to ten minutes`() {
        let seconds = (1...10).map { Backoff.delivery.delay(failures: $0, chance: 0) / .seconds(1) }
        #expect(seconds == [5, 10, 20, 40, 80, 160, 320, 480, 480, 480])
        #expect(Backoff.delivery.delay(failures: 10_000, chance: 1) == .seconds(600))
    }

    @Test func `chance adds up to a quarter`() {
        for failures in 1...20 {
            let shortest = Backoff.delivery.delay(failures: failures, chance: 0)
            let longest = Backoff.delivery.delay(failures: failures, chance: 0.999)
            #expect(shortest < longest)
            #expect(longest <= shortest * 1.25)
        }
    }
}
