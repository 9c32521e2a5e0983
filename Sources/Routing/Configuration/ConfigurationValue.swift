// SPDX-License-Identifier: Apache-2.0

/// A place in a configuration file.
public struct ConfigurationPlace: Sendable, Hashable {
    /// Counted from 1.
    public var line: Int
    /// Counted from 1.
    public var column: Int
    /// The path of the value inside the file, such as `routes[0].when.modality`; empty for the file as a whole.
    public var path: String

    /// The start of the file, unless the caller names another place.
    public init(line: Int = 1, column: Int = 1, path: String = "") {
        self.line = line
        self.column = column
        self.path = path
    }
}

/// A value of a configuration file with its place.
///
/// The type knows texts, lists and maps, so the rooms that read it do not depend on the language of the file.
/// Numbers and booleans are texts, as written.
public struct ConfigurationValue: Sendable, Hashable {
    /// The three forms of a value, and its absence.
    public indirect enum Content: Sendable, Hashable {
        case text(String)
        case list([ConfigurationValue])
        /// Keys in the order of the file, each once.
        case map([Entry])
        /// A key or list element without a value, such as `key:` or `~` in YAML.
        case empty
    }

    /// A key of a map with its value.
    public struct Entry: Sendable, Hashable {
        public var key: String
        /// The place of the key itself, for complaints about unknown keys.
        public var keyPlace: ConfigurationPlace
        /// The value, which has a place of its own.
        public var value: ConfigurationValue

        public init(_ key: String, at keyPlace: ConfigurationPlace = .init(), _ value: ConfigurationValue) {
            self.key = key
            self.keyPlace = keyPlace
            self.value = value
        }
    }

    public var content: Content
    /// The place where the value begins.
    public var place: ConfigurationPlace

    public init(_ content: Content, at place: ConfigurationPlace = .init()) {
        self.content = content
        self.place = place
    }

    /// The text of a scalar; `nil` for anything else.
    public var text: String? { if case .text(let text) = content { text } else { nil } }

    /// A text without a place, for callers that do not read it from a file.
    public static func text(_ text: String) -> ConfigurationValue { .init(.text(text)) }
    /// A list without a place.
    public static func list(_ values: [ConfigurationValue]) -> ConfigurationValue { .init(.list(values)) }
    /// A map without a place; each key may occur once.
    public static func map(_ entries: [Entry]) -> ConfigurationValue { .init(.map(entries)) }
    /// The absence of a value, without a place.
    public static var empty: ConfigurationValue { .init(.empty) }
}
