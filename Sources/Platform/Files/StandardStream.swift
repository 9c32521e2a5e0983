// SPDX-License-Identifier: Apache-2.0

import Glibc

/// The standard streams to which this process writes text.
public enum StandardStream: Int32, Sendable {
    case output = 1
    case error = 2

    /// Whether a person reads the stream on a terminal.
    public var isTerminal: Bool { isatty(rawValue) == 1 }

    /// Writes the whole text in one call if the stream takes it, so that the lines of several threads do not mix.
    ///
    /// If the reader is gone, the rest of the text is lost and the call does not fail.
    public func write(_ text: String) {
        var text = text
        text.withUTF8 { bytes in try? FileDescriptor.write(UnsafeRawBufferPointer(bytes), to: rawValue) }
    }
}
