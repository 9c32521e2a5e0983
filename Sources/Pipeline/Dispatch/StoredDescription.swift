// SPDX-License-Identifier: Apache-2.0

package import DICOM
package import Foundation

/// The description of an object as the journal stores it, with the number of its sources.
///
/// The number tells a series that comes again in part from one that comes again as a whole. It decides no bytes.
package struct StoredDescription: Codable, Sendable {
    /// The description.
    package var description: ObjectDescription
    /// Number of source instances; `nil` in a row of an earlier version.
    package var sources: Int?

    private enum CodingKeys: CodingKey {
        case sources
    }

    package init(_ description: ObjectDescription, sources: Int) {
        self.description = description
        self.sources = sources
    }

    package init(from decoder: any Decoder) throws {
        description = try ObjectDescription(from: decoder)
        sources = try decoder.container(keyedBy: CodingKeys.self).decodeIfPresent(Int.self, forKey: .sources)
    }

    package func encode(to encoder: any Encoder) throws {
        try description.encode(to: encoder)
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encodeIfPresent(sources, forKey: .sources)
    }

    /// Encodes the description for a row, with sorted keys.
    package func encoded() throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        return try encoder.encode(self)
    }
}
