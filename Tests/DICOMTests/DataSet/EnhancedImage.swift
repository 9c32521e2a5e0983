// SPDX-License-Identifier: Apache-2.0

import Foundation

/// An image with functional groups, composed by hand: 4 rows of 6 columns, 16 bits.
struct EnhancedImage {
    /// One frame.
    struct Frame {
        var position = [0.0, 0.0, 0.0]
        var orientation = [1.0, 0, 0, 0, 1, 0]
        var frameType = ["ORIGINAL", "PRIMARY", "PSIR", "NONE"]
        var component: String?
        var stackID = "1"
        var echoTime: Double?
        var triggerDelay: Double?
        var slope = 1.0
        var intercept = 0.0
    }

    static let enhancedMR = "1.2.840.10008.5.1.4.1.1.4.1"
    static let legacyConvertedMR = "1.2.840.10008.5.1.4.1.1.4.4"

    var sopClass = EnhancedImage.enhancedMR
    var sopInstanceUID = ElementBytes.instanceUID
    var numberOfFrames: Int?
    var pixelSpacing = "0.75\\0.5"
    var frames: [Frame]
    /// Elements of the item of Unassigned Per-Frame Converted Attributes of every frame.
    var unassigned: ElementBytes?

    /// Slices at these places along z, mm.
    static func slices(_ places: [Double], changing change: (Int, inout Frame) -> Void = { _, _ in }) -> EnhancedImage {
        EnhancedImage(
            frames: places.enumerated().map { index, z in
                var frame = Frame(position: [-10.5, 20.25, z])
                change(index, &frame)
                return frame
            })
    }

    /// The data set in Explicit VR Little Endian; pixel `p` of frame `f` is `100 f + p`.
    var data: ElementBytes {
        var data = ElementBytes()
        data.add(0x0008_0008, "CS", text: "ORIGINAL\\PRIMARY\\VOLUME\\NONE")
        data.add(0x0008_0016, "UI", text: sopClass)
        data.add(0x0008_0018, "UI", text: sopInstanceUID)
        data.add(0x0008_0060, "CS", text: "MR")
        data.add(0x0010_0020, "LO", text: "P")
        data.add(0x0020_000D, "UI", text: "1.2.3.4.1")
        data.add(0x0020_000E, "UI", text: "1.2.3.4.2")
        data.add(0x0020_0011, "IS", text: "7")
        data.add(0x0020_0052, "UI", text: "1.2.3.4.9")
        data.add(0x0028_0002, short: 1)
        data.add(0x0028_0004, "CS", text: "MONOCHROME2")
        data.add(0x0028_0008, "IS", text: "\(numberOfFrames ?? frames.count)")
        for (tag, value) in [
            (0x0028_0010, 4), (0x0028_0011, 6), (0x0028_0100, 16), (0x0028_0101, 12), (0x0028_0102, 11),
            (0x0028_0103, 0),
        ] as [(UInt32, UInt16)] {
            data.add(tag, short: value)
        }
        data.add(sequence: 0x5200_9229, [shared])
        data.add(sequence: 0x5200_9230, frames.map(perFrame))
        let values = (0..<(numberOfFrames ?? frames.count)).flatMap { frame in (0..<24).map { 100 * frame + $0 } }
        data.add(0x7FE0_0010, "OW", values.flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8)] })
        return data
    }

    private var shared: ElementBytes {
        var measures = ElementBytes()
        measures.add(0x0018_0050, "DS", text: "3.0")
        measures.add(0x0018_0088, "DS", text: "2.5")
        measures.add(0x0028_0030, "DS", text: pixelSpacing)
        var item = ElementBytes()
        item.add(sequence: 0x0028_9110, [measures])
        return item
    }

    private func perFrame(_ frame: Frame) -> ElementBytes {
        func decimals(_ numbers: [Double]) -> String { numbers.map { "\($0)" }.joined(separator: "\\") }
        var item = ElementBytes()
        if let echoTime = frame.echoTime {
            var echo = ElementBytes()
            echo.add(0x0018_9082, double: echoTime)
            item.add(sequence: 0x0018_9114, [echo])
        }
        if let delay = frame.triggerDelay {
            var cardiac = ElementBytes()
            cardiac.add(0x0020_9153, double: delay)
            item.add(sequence: 0x0018_9118, [cardiac])
        }
        var type = ElementBytes()
        type.add(0x0008_9007, "CS", text: frame.frameType.joined(separator: "\\"))
        if let component = frame.component { type.add(0x0008_9208, "CS", text: component) }
        item.add(sequence: 0x0018_9226, [type])
        var content = ElementBytes()
        content.add(0x0020_9056, "SH", text: frame.stackID)
        item.add(sequence: 0x0020_9111, [content])
        var position = ElementBytes()
        position.add(0x0020_0032, "DS", text: decimals(frame.position))
        item.add(sequence: 0x0020_9113, [position])
        var orientation = ElementBytes()
        orientation.add(0x0020_0037, "DS", text: decimals(frame.orientation))
        item.add(sequence: 0x0020_9116, [orientation])
        if let unassigned { item.add(sequence: 0x0020_9171, [unassigned]) }
        var transformation = ElementBytes()
        transformation.add(0x0028_1052, "DS", text: "\(frame.intercept)")
        transformation.add(0x0028_1053, "DS", text: "\(frame.slope)")
        item.add(sequence: 0x0028_9145, [transformation])
        return item
    }
}

extension ElementBytes {
    /// A sequence with items of known length.
    mutating func add(sequence tag: UInt32, _ items: [ElementBytes]) {
        var value = ElementBytes()
        for item in items { value.add(0xFFFE_E000, "", item.bytes) }
        add(tag, "SQ", value.bytes)
    }

    /// A number of VR FD.
    mutating func add(_ tag: UInt32, double: Double) {
        add(tag, "FD", (0..<8).map { UInt8(truncatingIfNeeded: double.bitPattern >> (8 * UInt64($0))) })
    }
}
