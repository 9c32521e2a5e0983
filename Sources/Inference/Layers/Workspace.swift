// SPDX-License-Identifier: Apache-2.0

/// Memory for what a network computes in between, kept from call to call and never cleared: after the first image nothing
/// grows.
final class Workspace {
    private var buffers = [String: UnsafeMutableRawBufferPointer]()

    deinit { for buffer in buffers.values { buffer.deallocate() } }

    /// The buffer called `name`, which others of that name share; it moves when more is asked for than ever before.
    func bytes(_ name: String, _ count: Int) -> UnsafeMutableRawPointer {
        if let buffer = buffers[name], buffer.count >= count, let base = buffer.baseAddress { return base }
        buffers[name]?.deallocate()
        let base = UnsafeMutableRawPointer.allocate(byteCount: max(count, 1), alignment: 64)
        buffers[name] = UnsafeMutableRawBufferPointer(start: base, count: max(count, 1))
        return base
    }

    func floats(_ name: String, _ count: Int) -> UnsafeMutablePointer<Float> {
        bytes(name, count * MemoryLayout<Float>.size).assumingMemoryBound(to: Float.self)
    }

    /// `count` numbers in the given format.
    func numbers(_ name: String, _ count: Int, _ precision: Precision) -> UnsafeMutableRawPointer {
        bytes(name, count * precision.width)
    }
}

extension Precision {
    /// Bytes of a number.
    var width: Int { self == .fp32 ? 4 : 2 }
}
