// SPDX-License-Identifier: Apache-2.0

/// Why the pixels of an instance could not be decoded. Frames are numbered from 1, as PS3.3 does.
public enum PixelDataError: Error, Sendable, Hashable, CustomStringConvertible {
    case dataSet(DataSetError)
    case notAnImage(reason: String)
    /// Known, but not decoded: JPEG 2000, HTJ2K, MPEG, ...
    case unsupportedTransferSyntax(uid: String)
    /// An IOD whose frames need their functional groups to be understood, such as Enhanced MR.
    case unsupportedClass(name: String, uid: String)
    case unsupportedEncoding(reason: String)
    /// Attributes that contradict each other or the bytes there are.
    case inconsistent(reason: String)
    case tooLarge(bytes: Int, limit: Int)
    case frame(number: Int, reason: String)

    public var description: String {
        switch self {
        case .dataSet(let error): error.description
        case .notAnImage(let reason): "there is no image to decode: \(reason)"
        case .unsupportedTransferSyntax(let uid):
            "cannot decode transfer syntax \(TransferSyntax.name(of: uid)); have the sender use another"
        case .unsupportedClass(let name, let uid): "cannot decode images of SOP class \(name) (\(uid))"
        case .unsupportedEncoding(let reason): "cannot decode these pixels: \(reason)"
        case .inconsistent(let reason): "the image contradicts itself: \(reason)"
        case .tooLarge(let bytes, let limit): "decoded it would take \(bytes) bytes, more than the limit of \(limit)"
        case .frame(let number, let reason): "could not decode frame \(number): \(reason)"
        }
    }
}
