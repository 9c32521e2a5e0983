// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Testing

@Suite struct ObjectKindTests {
    private static let kinds: [ObjectKind] =
        ViewerProfile.Name.allCases.flatMap { [ObjectKind.segmentation($0), .report($0)] } + [.pictures]

    @Test func `each kind is found by its name, and names differ`() throws {
        #expect(Set(Self.kinds.map(\.rawValue)).count == Self.kinds.count)
        for kind in Self.kinds {
            #expect(ObjectKind(rawValue: kind.rawValue) == kind)
            let encoded = try JSONEncoder().encode([kind])
            #expect(String(decoding: encoded, as: UTF8.self) == "[\"\(kind.rawValue)\"]")
            #expect(try JSONDecoder().decode([ObjectKind].self, from: encoded) == [kind])
        }
        #expect(ObjectKind(rawValue: "report-") == nil && ObjectKind(rawValue: "") == nil)
    }

    @Test func `a SEG has the name of its viewer profile, which UIDs and rows of earlier versions hold`() {
        #expect(ObjectKind.segmentation(.strict).rawValue == "strict")
        #expect(ObjectKind.segmentation(.ohif).rawValue == "ohif")
    }
}
