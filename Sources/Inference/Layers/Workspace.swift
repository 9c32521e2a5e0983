// SPDX-License-Identifier: Apache-2.0

/// Named buffers for the intermediate results of a network.
///
/// The buffers stay allocated from call to call and are never cleared. After the first image, their
/// size does not grow. A workspace belongs to one thread at a time.
final class Workspace {
    private var buffers = [String: UnsafeMutableRawBufferPointer]()

    deinit { for buffer in buffers.values { buffer.deallocate() } }

    /// A buffer of at least `count` bytes, aligned to 64 bytes.
    ///
    /// Every caller that passes the same name shares the buffer. The buffer moves when a caller
    /// asks for more than any caller before.
    func bytes(_ name: String, _ count: Int) -> UnsafeMutableRawPointer {
        if let buffer = buffers[name], buffer.count >= count, let base = buffer.baseAddress { return base }
        buffers[name]?.deallocate()
        let base = UnsafeMutableRawPointer.allocate(byteCount: max(count, 1), alignment: 64)
        buffers[name] = UnsafeMutableRawBufferPointer(start: base, count: max(count, 1))
        return base
    }

    /// The buffer `name` with room for `count` fp32 numbers.
    func floats(_ name: String, _ count: Int) -> UnsafeMutablePointer<Float> {
        bytes(name, count * MemoryLayout<Float>.size).assumingMemoryBound(to: Float.self)
    }

    /// The buffer `name` with room for `count` numbers in the given format.
    func numbers(_ name: String, _ count: Int, _ precision: Precision) -> UnsafeMutableRawPointer {
        bytes(name, count * precision.width)
    }
}

extension Precision {
    /// The number of bytes per number.
    var width: Int { self == .fp32 ? 4 : 2 }
}
