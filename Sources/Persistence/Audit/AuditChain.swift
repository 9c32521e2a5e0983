// SPDX-License-Identifier: Apache-2.0

/// What is wrong with a trail, at the first record that does not fit.
public struct AuditProblem: Sendable, Equatable, Codable, CustomStringConvertible {
    /// The number of the first bad record: of one that is missing, the number that it should have.
    public let number: Int64
    public let what: String

    public var description: String { "record \(number): \(what)" }
}

/// What verifying a trail found.
public struct AuditVerification: Sendable, Equatable, Codable {
    /// Records that were read and fit.
    public var records: Int64
    /// The hash of the last of them: note it somewhere else, to prove later that nothing was cut off.
    public var head: String
    public var problem: AuditProblem?

    public var isWhole: Bool { problem == nil }
}

/// Follows a chain record by record.
struct AuditChain {
    private(set) var records: Int64 = 0
    private(set) var next: Int64
    private(set) var head: String
    /// A head that must turn up; `nil` once it did, or when none was given.
    private var wanted: String?

    /// - Parameters:
    ///   - head: the hash that the first record must name as the one before.
    ///   - wanted: a head noted earlier.
    init(next: Int64, head: String, wanted: String?) {
        self.next = next
        self.head = head
        self.wanted = wanted.map { $0.lowercased() }
        meet(head)
    }

    private mutating func meet(_ hash: String) {
        if wanted == hash { wanted = nil }
    }

    mutating func check(_ record: AuditRecord) -> AuditProblem? {
        guard record.number == next else {
            return AuditProblem(number: min(next, record.number), what: "record \(next) is missing or misplaced")
        }
        guard record.format == AuditRecord.currentFormat else {
            return AuditProblem(number: next, what: "its format \(record.format) is not known")
        }
        guard record.previousHash == head else {
            return AuditProblem(number: next, what: "it does not follow the record before it")
        }
        guard record.hash == record.computedHash() else {
            return AuditProblem(number: next, what: "its content does not fit its hash")
        }
        head = record.hash
        next += 1
        records += 1
        meet(head)
        return nil
    }

    /// A hash that stands for records which are not there any more.
    mutating func skipped(_ hash: String) { meet(hash) }

    /// What can be said only at the end.
    func ended() -> AuditProblem? {
        wanted.map {
            AuditProblem(
                number: next, what: "the trail ends before it, and no record has the hash \($0): its end was cut off")
        }
    }
}
