// SPDX-License-Identifier: Apache-2.0

/// A code triplet: PS3.3 8.8 (Code Sequence Macro).
public struct CodedConcept: Sendable, Hashable, Codable {
    public var value: String
    /// Coding Scheme Designator: `SCT`, `DCM`, ...
    public var scheme: String
    public var meaning: String

    public init(_ value: String, _ scheme: String, _ meaning: String) {
        self.value = value
        self.scheme = scheme
        self.meaning = meaning
    }
}
