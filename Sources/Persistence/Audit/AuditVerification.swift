// SPDX-License-Identifier: Apache-2.0
//
// Verifies a trail in its database, or an exported trail without a database.

public import Foundation
import GRDB

/// The first record of a trail that does not fit, and the reason.
public struct AuditProblem: Sendable, Equatable, Codable, CustomStringConvertible {
    /// Number of the first bad record; for a missing record the number that it should have.
    public let number: Int64
    /// The reason in words; "it" is the record.
    public let what: String

    public var description: String { "record \(number): \(what)" }
}

/// The result of verifying a trail.
public struct AuditVerification: Sendable, Equatable, Codable {
    /// Number of records that fit.
    public var records: Int64
    /// Hash of the last record that fits; noted elsewhere, it later proves that the end was not cut off.
    public var head: String
    /// The first record that does not fit; `nil` for a whole trail.
    public var problem: AuditProblem?

    /// Whether every record fits.
    public var isWhole: Bool { problem == nil }
}

/// Follows a chain record by record.
struct AuditChain {
    /// Number of records that fit so far.
    private(set) var records: Int64 = 0
    /// Number that the next record must have.
    private(set) var next: Int64
    /// Hash that the next record must name as the previous one.
    private(set) var head: String
    /// A head that must occur; `nil` once it has occurred, or if the caller did not give one.
    private var wanted: String?

    /// Begins before record `next`.
    ///
    /// - Parameters:
    ///   - next: number of the first record.
    ///   - head: the previous hash of that record.
    ///   - wanted: a head that was noted earlier, or `nil`.
    init(next: Int64, head: String, wanted: String?) {
        self.next = next
        self.head = head
        self.wanted = wanted.map { $0.lowercased() }
        meet(head)
    }

    /// Notes a hash that the trail contains, of a record that may be gone.
    mutating func meet(_ hash: String) {
        if wanted == hash { wanted = nil }
    }

    /// Takes the next record into the chain, or says why it does not fit.
    mutating func check(_ record: AuditRecord) -> AuditProblem? {
        guard record.number == next else {
            return AuditProblem(number: min(next, record.number), what: "record \(next) is missing or out of place")
        }
        guard record.format == AuditRecord.currentFormat else {
            return AuditProblem(number: next, what: "its format \(record.format) is unknown")
        }
        guard record.previousHash == head else {
            return AuditProblem(number: next, what: "it does not continue the record before it")
        }
        guard record.hash == record.computedHash() else {
            return AuditProblem(number: next, what: "its content does not match its hash")
        }
        head = record.hash
        next += 1
        records += 1
        meet(head)
        return nil
    }

    /// The problem that only the end of the trail can show: the wanted head did not occur.
    func ended() -> AuditProblem? {
        wanted.map {
            AuditProblem(
                number: next,
                what: "the trail ends before it, and no record has the hash \($0), so the end was cut off")
        }
    }
}

extension AuditTrail {
    /// Recomputes the chain of the whole trail.
    ///
    /// `head` is a head noted earlier. If no record has this hash, the end of the trail is missing.
    public func verify(head: String? = nil) throws -> AuditVerification {
        // Records that are written during the verification are left out.
        let (all, newest): ([Segment], Int64) = try journal.read { view in
            (try Self.segments(view), try view.row("SELECT max(number) AS number FROM audit")?.number("number") ?? 0)
        }
        var chain = AuditChain(next: 1, head: AuditRecord.origin, wanted: head)
        func result(_ problem: AuditProblem?) -> AuditVerification {
            AuditVerification(records: chain.records, head: chain.head, problem: problem)
        }
        let dropped = all.prefix { $0.isDropped }
        if let last = dropped.last {
            chain = AuditChain(next: (last.lastNumber ?? 0) + 1, head: last.head ?? "", wanted: head)
            for segment in dropped { chain.meet(segment.head ?? "") }
        }
        for (index, segment) in all.enumerated().dropFirst(dropped.count) {
            guard segment.firstNumber == chain.next, segment.previousHash == chain.head, !segment.isDropped else {
                return result(
                    AuditProblem(
                        number: chain.next, what: "segment \(segment.month) does not continue the segment before it"))
            }
            let isLast = index == all.count - 1
            guard isLast == (segment.lastNumber == nil) else {
                return result(AuditProblem(number: chain.next, what: "segment \(segment.month) has a wrong end"))
            }
            if let problem = try follow(segment, upTo: newest, &chain) { return result(problem) }
        }
        if let stray = try page(after: chain.next - 1).first, stray.number <= newest {
            return result(AuditProblem(number: stray.number, what: "it does not belong to any segment"))
        }
        return result(chain.ended())
    }

    /// Follows the chain through one segment.
    private func follow(_ segment: Segment, upTo newest: Int64, _ chain: inout AuditChain) throws -> AuditProblem? {
        let last = segment.lastNumber ?? newest
        while chain.next <= last {
            let page = try page(after: chain.next - 1).filter { $0.number <= last }
            if page.isEmpty { break }
            for record in page {
                if let problem = chain.check(record) { return problem }
                guard CalendarHour(microseconds: record.time).month == segment.month else {
                    return AuditProblem(number: record.number, what: "it lies in the segment of another month")
                }
            }
        }
        guard let end = segment.lastNumber else { return nil }
        guard chain.next == end + 1 else { return AuditProblem(number: chain.next, what: "it is missing") }
        guard chain.head == segment.head else {
            return AuditProblem(number: end, what: "its hash is not the head that segment \(segment.month) names")
        }
        return nil
    }

    /// Verifies an export without the node that wrote it.
    ///
    /// `lines` are the lines in their order, without line ends. `head` is a head noted earlier, which must occur.
    public static func verify(export lines: some Sequence<Data>, head: String? = nil) throws -> AuditVerification {
        let decoder = JSONDecoder()
        var chain: AuditChain?
        var end: ExportEnd?
        func result(_ problem: AuditProblem?) -> AuditVerification {
            AuditVerification(records: chain?.records ?? 0, head: chain?.head ?? AuditRecord.origin, problem: problem)
        }
        for line in lines where !line.isEmpty {
            let next = chain?.next ?? 1
            if end != nil { return result(AuditProblem(number: next, what: "a line follows the last line")) }
            guard let record = try? decoder.decode(AuditRecord.self, from: line) else {
                end = try? decoder.decode(ExportEnd.self, from: line)
                if end == nil { return result(AuditProblem(number: next, what: "its line cannot be read")) }
                continue
            }
            if chain == nil { chain = AuditChain(next: record.number, head: record.previousHash, wanted: head) }
            if let problem = chain?.check(record) { return result(problem) }
        }
        guard let end else {
            return result(
                AuditProblem(number: chain?.next ?? 1, what: "the export does not have a last line, so it was cut off"))
        }
        guard end.head == chain?.head ?? end.head, end.records == chain?.records ?? 0 else {
            return result(AuditProblem(number: chain?.next ?? 1, what: "the last line describes other records"))
        }
        return result(chain?.ended())
    }
}
