// SPDX-License-Identifier: Apache-2.0

/// What a SOP class is to a storage SCP (PS3.4, PS3.6 table A-1).
package enum ServiceClass {
    package static let verification = "1.2.840.10008.1.1"

    /// Whether objects of this abstract syntax are not stored: query, retrieve, print, worklist, procedure steps,
    /// commitment, notification. Everything else, private and unknown classes included, is something to store.
    package static func isNotStorage(_ uid: String) -> Bool {
        let parts = uid.split(separator: ".", omittingEmptySubsequences: false)
        let standard = "1.2.840.10008."
        guard uid.hasPrefix(standard) else { return false }
        if stored.contains(uid) { return false }
        if exact.contains(uid) || prefixes.contains(where: { uid.hasPrefix($0) }) { return true }
        // Hanging protocols, colour palettes and implant templates: .1 is stored, .2 to .4 query and retrieve.
        if ["38", "39", "43", "44", "45"].contains(where: { uid.hasPrefix(standard + "5.1.4.\($0).") }) {
            return parts.last != "1"
        }
        return false
    }

    /// Whole families.
    private static let prefixes = [
        "1.2.840.10008.1.20.",  // storage commitment
        "1.2.840.10008.3.1.2.",  // procedure steps, patient, visit, study and results management
        "1.2.840.10008.5.1.1.",  // print
        "1.2.840.10008.5.1.4.1.2.",  // query and retrieve
        "1.2.840.10008.5.1.4.32.",  // general purpose worklist
        // Unified procedure step.
        "1.2.840.10008.5.1.4.34.4.", "1.2.840.10008.5.1.4.34.5.", "1.2.840.10008.5.1.4.34.6.",
        "1.2.840.10008.5.1.4.37.",  // relevant patient information
        "1.2.840.10008.10.",  // real-time video
    ]

    /// Stored print and hardcopy images, which the print family holds too.
    private static let stored: Set<String> = [
        "1.2.840.10008.5.1.1.27", "1.2.840.10008.5.1.1.29", "1.2.840.10008.5.1.1.30",
    ]

    private static let exact: Set<String> = [
        verification,
        "1.2.840.10008.1.9",  // basic study content notification
        "1.2.840.10008.1.40", "1.2.840.10008.1.42",  // event logging
        "1.2.840.10008.5.1.4.31",  // modality worklist
        "1.2.840.10008.5.1.4.33",  // instance availability notification
        "1.2.840.10008.5.1.4.34.8", "1.2.840.10008.5.1.4.34.9",  // radiotherapy machine verification
        "1.2.840.10008.5.1.4.41", "1.2.840.10008.5.1.4.42",  // product and substance queries
        "1.2.840.10008.5.1.4.1.1.200.4", "1.2.840.10008.5.1.4.1.1.200.5", "1.2.840.10008.5.1.4.1.1.200.6",
        "1.2.840.10008.5.1.4.1.1.201.2", "1.2.840.10008.5.1.4.1.1.201.3", "1.2.840.10008.5.1.4.1.1.201.4",
        "1.2.840.10008.5.1.4.1.1.201.5", "1.2.840.10008.5.1.4.1.1.201.6",  // protocol and inventory services
    ]
}
