// SPDX-License-Identifier: Apache-2.0
//
// The Image Plane Module, PS3.3 C.7.6.2, and the planes of functional groups, C.7.6.16.2: numbers to geometry.

import Imaging

enum ImagePlane {
    struct Problem: Error, Hashable {
        var reason: String
    }

    /// Directions that are this far from unit length, or from being perpendicular, are no rounding errors any more.
    private static let directionTolerance = 0.01
    /// mm; nothing that is imaged is further away or has larger pixels.
    private static let positionLimit = 1e6
    private static let spacingLimit = 1e3

    /// - Parameters:
    ///   - position: Image Position (Patient), mm.
    ///   - orientation: Image Orientation (Patient), the direction of a row and of a column.
    ///   - pixelSpacing: between rows and between columns, mm.
    static func read(position: [Double], orientation: [Double], pixelSpacing: [Double]) -> Result<
        PlaneGeometry, Problem
    > {
        guard let origin = Vector3(position), origin.components.allSatisfy({ abs($0) <= positionLimit }) else {
            return .failure(Problem(reason: "Image Position (Patient) is not three usable numbers"))
        }
        guard orientation.count == 6, let row = Vector3(orientation[..<3]), let column = Vector3(orientation[3...])
        else { return .failure(Problem(reason: "Image Orientation (Patient) is not six usable numbers")) }
        guard abs(row.length - 1) <= directionTolerance, abs(column.length - 1) <= directionTolerance else {
            return .failure(Problem(reason: "Image Orientation (Patient) is not made of unit vectors"))
        }
        guard abs(row.dot(column)) <= directionTolerance else {
            return .failure(Problem(reason: "the directions of Image Orientation (Patient) are not perpendicular"))
        }
        guard pixelSpacing.count == 2, pixelSpacing.allSatisfy({ $0.isFinite && $0 > 0 && $0 <= spacingLimit }) else {
            return .failure(Problem(reason: "Pixel Spacing is not two usable numbers"))
        }
        return .success(
            PlaneGeometry(
                position: origin, rowDirection: row * (1 / row.length), columnDirection: column * (1 / column.length),
                rowSpacing: pixelSpacing[0], columnSpacing: pixelSpacing[1]))
    }
}
