// SPDX-License-Identifier: Apache-2.0

/// Weights in a ``WeightStore``: converted, checked, ready to be mapped.
public struct InstalledWeights: Sendable, Hashable, Codable {
    /// The file that they were made of.
    public struct Source: Sendable, Hashable, Codable {
        /// Its name, without folders.
        public var file: String
        /// SHA-256 of the file as it was added, 64 lower-case hexadecimal digits.
        public var sha256: String
        /// What was published under this hash, such as `sam_vit_b_01ec64.pth of facebookresearch/segment-anything`;
        /// `nil` when the hash is not that of a known publication.
        public var publication: String?

        public init(file: String, sha256: String, publication: String? = nil) {
            self.file = file
            self.sha256 = sha256
            self.publication = publication
        }
    }

    /// What configurations call them, such as `sam_vit_b`.
    public var name: String
    public var family: ModelFamily
    /// The image encoder, such as `ViT-B`.
    public var architecture: String
    /// SHA-256 of the stored file, 64 lower-case hexadecimal digits.
    public var sha256: String
    /// Size of the stored file.
    public var bytes: Int
    /// How many numbers the network has.
    public var parameters: Int
    public var source: Source
    /// Terms of the weights, as far as they are known.
    public var licence: String
    /// The stored file, a safetensors file with the tensor names of the publisher's checkpoint.
    public var path: String

    public init(
        name: String, family: ModelFamily, architecture: String, sha256: String, bytes: Int, parameters: Int,
        source: Source, licence: String, path: String
    ) {
        self.name = name
        self.family = family
        self.architecture = architecture
        self.sha256 = sha256
        self.bytes = bytes
        self.parameters = parameters
        self.source = source
        self.licence = licence
        self.path = path
    }

    /// Maps the file, after its bytes were found to have the hash they are named for.
    ///
    /// - Throws: `WeightFileError`.
    public func open() throws(WeightFileError) -> SafeTensors {
        let file = try SafeTensors(path: path)
        let found = file.sha256
        guard found == sha256 else {
            throw .unreadable(
                path: path,
                reason: "its SHA-256 is \(found), not \(sha256); remove \(name) and add its checkpoint again")
        }
        return file
    }
}
