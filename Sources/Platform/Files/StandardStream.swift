// SPDX-License-Identifier: Apache-2.0

import Glibc

/// The streams that the parent gave this process for its texts.
public enum StandardStream: Int32, Sendable {
    case output = 1
    case error = 2

    /// Whether a person reads the stream on a terminal.
    public var isTerminal: Bool { isatty(rawValue) == 1 }

    /// Writes the whole text in one call if the stream takes it, so that the lines of several threads do not mix.
    ///
    /// A reader that is gone is not an error of the writer: the rest of the text is then lost.
    public func write(_ text: String) {
        var text = text
        text.withUTF8 { bytes in try? FileDescriptor.write(UnsafeRawBufferPointer(bytes), to: rawValue) }
    }
}
