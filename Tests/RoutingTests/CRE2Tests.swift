// SPDX-License-Identifier: Apache-2.0

import CRE2
import Testing

/// The C room alone.
@Suite struct CRE2Tests {
    @Test func `compiles, searches and frees`() throws {
        let pattern = try #require(cre2_create("a+b", 3))
        defer { cre2_destroy(pattern) }
        #expect(cre2_get_status(pattern) == CRE2_OK)
        #expect(cre2_search(pattern, "xaab", 4) == 1)
        // The length counts, not the zero at the end.
        #expect(cre2_search(pattern, "xaab", 3) == 0)
        #expect(cre2_search(pattern, nil, 0) == 0)
    }

    @Test func `says what it refuses`() throws {
        let pattern = try #require(cre2_create("a[b", 3))
        defer { cre2_destroy(pattern) }
        #expect(cre2_get_status(pattern) == CRE2_MISSING_BRACKET)
        var length = 0
        let argument = try #require(cre2_error_argument(pattern, &length))
        #expect(length == 2 && argument[0] == CChar(bitPattern: UInt8(ascii: "[")))
        #expect(String(cString: cre2_error_text(pattern)) == "missing ]: [b")
    }
}
