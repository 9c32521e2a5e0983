// SPDX-License-Identifier: Apache-2.0

import Imaging
import Testing

@Suite struct Vector3Tests {
    @Test func `the cross product of x and y is z`() {
        #expect(Vector3(1, 0, 0).cross(Vector3(0, 1, 0)) == Vector3(0, 0, 1))
    }
}
