// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation

/// Where installed weights lie.
enum ModelsFolder {
    /// The folder named, else the one that `KONTUR_MODELS` names, else the configuration's, else one in the home folder
    /// of whoever runs the command (XDG Base Directory Specification).
    static func path(named: String?, configuration: NodeConfiguration?) -> String {
        let environment = ProcessInfo.processInfo.environment
        if let named { return absolute(named) }
        if let set = environment["KONTUR_MODELS"], !set.isEmpty { return absolute(set) }
        if let configuration, configuration.file != nil { return configuration.models }
        let set = environment["XDG_DATA_HOME"].flatMap { $0.hasPrefix("/") ? $0 : nil }
        return "\(set ?? "\(NSHomeDirectory())/.local/share")/kontur/models"
    }

    private static func absolute(_ path: String) -> String { URL(fileURLWithPath: path).standardizedFileURL.path }
}

/// The option of commands that look for installed weights.
struct ModelsOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The folder of installed weights, instead of the configuration's, or of ~/.local/share/kontur/models.",
            valueName: "folder"))
    var models: String?
}
