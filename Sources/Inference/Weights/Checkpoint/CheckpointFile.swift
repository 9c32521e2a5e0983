// SPDX-License-Identifier: Apache-2.0

import Platform

/// A checkpoint's file, which is read piece by piece.
///
/// The file is neither mapped nor held in memory. Therefore a file that shrinks during a read causes an error instead of
/// a crash, and a large file does not take memory.
final class CheckpointFile: Sendable {
    /// The size of the file in bytes.
    let size: Int
    private let descriptor: FileDescriptor
    private let identity: FileIdentity

    /// Opens a regular file.
    ///
    /// - Parameter path: the path of the file.
    /// - Throws: `CheckpointError.unreadable`.
    init(path: String) throws(CheckpointError) {
        do throws(SystemCallError) {
            descriptor = try FileDescriptor(path: path, for: .reading)
            identity = try descriptor.identity()
        } catch {
            throw .unreadable(reason: error.reason)
        }
        guard identity.isRegularFile else { throw .unreadable(reason: "it is not a regular file") }
        size = identity.size
    }

    /// Whether size and modification time are still those of the moment when the file was opened.
    var isUnchanged: Bool { (try? descriptor.identity()) == identity }

    /// Reads a part of the file.
    ///
    /// - Parameters:
    ///   - offset: the first byte, within the file.
    ///   - count: the number of bytes, which the caller bounds.
    /// - Returns: the bytes.
    /// - Throws: `CheckpointError.unreadable` if the file ends before the last of them.
    func bytes(at offset: Int, count: Int) throws(CheckpointError) -> [UInt8] {
        guard offset >= 0, count >= 0, offset <= size, count <= size - offset else {
            throw .unreadable(reason: "it ends too early; it may be truncated")
        }
        var bytes = [UInt8](repeating: 0, count: count)
        var failure: CheckpointError?
        bytes.withUnsafeMutableBytes { buffer in
            do throws(CheckpointError) { try read(at: offset, into: buffer) } catch { failure = error }
        }
        if let failure { throw failure }
        return bytes
    }

    /// Fills `buffer` with the bytes from `offset` on.
    func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws(CheckpointError) {
        let count: Int
        do throws(SystemCallError) {
            count = try descriptor.fill(buffer, at: offset)
        } catch {
            throw .unreadable(reason: error.reason)
        }
        guard count == buffer.count else { throw .unreadable(reason: "it became shorter while it was read") }
    }
}

/// Little-endian numbers in untrusted bytes; an offset outside the bytes gives `nil`.
struct LittleEndian {
    let bytes: ArraySlice<UInt8>

    init(_ bytes: some Sequence<UInt8>) { self.bytes = ArraySlice(Array(bytes)) }

    /// The number of `width` bytes at `offset`; `width` is 1 to 8.
    func integer(at offset: Int, width: Int) -> UInt64? {
        guard offset >= 0, offset <= bytes.count, width <= bytes.count - offset else { return nil }
        let start = bytes.startIndex + offset
        return bytes[start..<start + width].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    }

    /// The number of `width` bytes at `offset`, which is known to fit an `Int`.
    func small(at offset: Int, width: Int) -> Int? {
        integer(at: offset, width: width).map { Int(truncatingIfNeeded: $0) }
    }
}

/// The kind of a file, recognised by its first bytes.
enum FileKind {
    case zip
    case safetensors
    case refused(CheckpointError)

    /// Recognises a file by its first bytes; `name` is the file name for commands that an operator
    /// can run.
    init(_ bytes: [UInt8], name: String) {
        let text = String(decoding: bytes.prefix(64), as: UTF8.self)
        if bytes.starts(with: Array("PK\u{3}\u{4}".utf8)) {
            self = .zip
        } else if bytes.count > 8, bytes[4..<8].allSatisfy({ $0 == 0 }), bytes[8] == UInt8(ascii: "{") {
            // The header's length comes first: its lowest byte may be any character.
            self = .safetensors
        } else if bytes.starts(with: Self.legacyMagic) {
            self = .refused(Self.resave("checkpoints of PyTorch before 1.6", name, weightsOnly: true))
        } else if bytes.count >= 262, bytes[257..<262].elementsEqual("ustar".utf8) {
            self = .refused(
                Self.resave(
                    "tar files, which PyTorch wrote before 0.4 and loads by running their content (only load files you "
                        + "trust),", name, weightsOnly: false))
        } else if bytes.isEmpty {
            self = .refused(.format(reason: "the file is empty"))
        } else if bytes.starts(with: [0x1f, 0x8b]) {
            self = .refused(.format(reason: "the file is compressed with gzip; unpack it with gunzip"))
        } else if text.hasPrefix("version https://git-lfs") {
            self = .refused(
                .format(reason: "the file is only a Git LFS pointer; fetch the checkpoint with git lfs pull"))
        } else if text.drop(while: \.isWhitespace).first == "<" {
            self = .refused(
                .format(
                    reason: "the file is a web page, not a checkpoint: the download failed; open the link in a browser"
                ))
        } else {
            self = .refused(.format(reason: "the file is neither a PyTorch checkpoint (zip) nor a safetensors file"))
        }
    }

    /// The first bytes of an old checkpoint: a pickle of protocol 2 that holds the number
    /// 0x1950a86a20f9469cfc6c.
    private static let legacyMagic: [UInt8] = [
        0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19,
    ]

    private static func resave(_ format: String, _ name: String, weightsOnly: Bool) -> CheckpointError {
        // These characters do not have a special meaning for the shell or for Python.
        let plain = name.unicodeScalars.allSatisfy { scalar in
            scalar.isASCII
                && (scalar.properties.isAlphabetic || ("0"..."9").contains(scalar)
                    || "._-".unicodeScalars.contains(scalar))
        }
        let file = plain ? name : "FILE"
        return .needsResaving(
            format: format,
            command: "python3 -c \"import torch; torch.save(torch.load('\(file)', map_location='cpu', "
                + "weights_only=\(weightsOnly ? "True" : "False")), 'resaved-\(file)')\"")
    }
}
