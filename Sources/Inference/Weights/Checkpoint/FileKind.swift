// SPDX-License-Identifier: Apache-2.0

/// What a file is, by its first bytes.
enum FileKind {
    case zip
    case safetensors
    case refused(CheckpointError)

    /// - Parameter name: the file's, for commands that somebody can run on it.
    init(_ bytes: [UInt8], name: String) {
        let text = String(decoding: bytes.prefix(64), as: UTF8.self)
        if bytes.starts(with: Array("PK\u{3}\u{4}".utf8)) {
            self = .zip
        } else if bytes.starts(with: Self.legacyMagic) {
            self = .refused(Self.resave("checkpoints as PyTorch wrote them before 1.6", name, weightsOnly: true))
        } else if bytes.count >= 262, bytes[257..<262].elementsEqual("ustar".utf8) {
            self = .refused(
                Self.resave(
                    "tar files, which PyTorch wrote before 0.4 and can only load by running what is in them (do so with "
                        + "files you trust),", name, weightsOnly: false))
        } else if bytes.isEmpty {
            self = .refused(.format(reason: "the file is empty"))
        } else if bytes.starts(with: [0x1f, 0x8b]) {
            self = .refused(.format(reason: "it is compressed with gzip; unpack it first, with gunzip"))
        } else if text.hasPrefix("version https://git-lfs") {
            self = .refused(
                .format(reason: "it is a Git LFS pointer, not the file it points to; fetch that, with git lfs pull"))
        } else if text.drop(while: \.isWhitespace).first == "<" {
            self = .refused(
                .format(
                    reason: "it is a web page, not a checkpoint: the download went wrong; open the link in a browser"))
        } else if bytes.count > 8, bytes[8] == UInt8(ascii: "{") {
            self = .safetensors
        } else {
            self = .refused(.format(reason: "it is neither a PyTorch checkpoint (zip) nor a safetensors file"))
        }
    }

    /// Protocol 2, then the long 0x1950a86a20f9469cfc6c: a pickle of its own before the others.
    private static let legacyMagic: [UInt8] = [
        0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19,
    ]

    private static func resave(_ format: String, _ name: String, weightsOnly: Bool) -> CheckpointError {
        // Letters that neither shell nor Python read as anything else.
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
