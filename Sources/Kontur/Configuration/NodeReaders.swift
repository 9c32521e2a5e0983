// SPDX-License-Identifier: Apache-2.0

import Associations
import DICOM
import Pipeline
import Platform
import Routing

/// Reads the section `node`.
struct NodeReader {
    private static let keys = [
        "aeTitle", "port", "bind", "maxAssociations", "maxAssociationsPerPeer", "idleSeconds", "workers", "tls",
    ]

    var listener: ListenerConfiguration
    var workers = 1

    /// - Parameters:
    ///   - node: `nil` if the file does not have the section.
    ///   - peers: the peers of the file.
    ///   - folder: where relative paths start.
    init(_ node: ConfigurationNode?, peers: [Peer], folder: String) {
        guard let aeTitle = AETitle("KONTUR") else { preconditionFailure("KONTUR is an AE title") }
        listener = ListenerConfiguration(aeTitle: aeTitle, peers: peers)
        guard let section = node?.section(Self.keys) else { return }
        if let title = section["aeTitle"]?.aeTitle { listener.aeTitle = title }
        // Port 0 is for tests: the kernel chooses a port, and the start line names it.
        if let port = section["port"]?.integer(0...65535, what: "a port") { listener.port = UInt16(port) }
        if let bind = section["bind"]?.scalar(
            expecting: "an IP address such as 0.0.0.0, 127.0.0.1 or ::", { IPAddress($0) })
        {
            listener.bind = bind
        }
        if let count = section["maxAssociations"]?.integer(1...1024, what: "a number of associations") {
            listener.maxAssociations = count
        }
        if let place = section["maxAssociationsPerPeer"],
            let count = place.integer(1...1024, what: "a number of associations")
        {
            if count > listener.maxAssociations {
                place.complain("more than maxAssociations, which is \(listener.maxAssociations)")
            }
            listener.maxAssociationsPerPeer = count
        }
        if let seconds = section["idleSeconds"]?.integer(1...86_400, what: "seconds") {
            listener.idleLimit = .seconds(seconds)
        }
        if let count = section["workers"]?.integer(1...64, what: "a number of workers") { workers = count }
        listener.tls = section["tls"].flatMap { TLSReader.settings($0, folder: folder) }
        if let tls = listener.tls, let port = tls.port, port == listener.port, port != 0 {
            section["tls"]?.complain("'port' is also the port for plain DICOM; give another one, such as 2762")
        }
    }
}

extension ConfigurationNode {
    /// An AE title: PS3.5 6.2, VR AE.
    var aeTitle: AETitle? {
        scalar(expecting: "an AE title: 1 to 16 ASCII characters, no backslash") { AETitle($0) }
    }
}

/// Reads the section `series`.
enum SeriesReader {
    private static let times = ["quietSeconds", "waitAtMostSeconds"]

    static func series(_ node: ConfigurationNode?) -> SeriesConfiguration {
        var series = SeriesConfiguration()
        guard let section = node?.section(times + ["perModality"]) else { return series }
        series.waiting = waiting(section, otherwise: series.waiting)
        let form = "modalities such as {ES: {quietSeconds: 120}}"
        for (entry, value) in section["perModality"]?.entries(expecting: form) ?? [] {
            let isCode =
                (1...16).contains(entry.key.utf8.count)
                && entry.key.utf8.allSatisfy { byte in
                    (0x41...0x5A).contains(byte) || (0x30...0x39).contains(byte)
                }
            if !isCode {
                value.problems.add(entry.keyPlace, "expected a modality such as ES or MR, in capitals")
            }
            series.perModality[entry.key] = waiting(value.section(times), otherwise: series.waiting)
        }
        return series
    }

    private static func waiting(
        _ section: ConfigurationSection, otherwise: SeriesConfiguration.Waiting
    ) -> SeriesConfiguration.Waiting {
        var waiting = otherwise
        if let seconds = section["quietSeconds"]?.integer(1...86_400, what: "seconds") {
            waiting.quietSeconds = seconds
        }
        if let seconds = section["waitAtMostSeconds"]?.integer(1...86_400, what: "seconds") {
            waiting.waitAtMostSeconds = seconds
        }
        guard waiting.waitAtMostSeconds < waiting.quietSeconds else { return waiting }
        if let place = section["waitAtMostSeconds"] {
            place.complain("less than quietSeconds, which is \(waiting.quietSeconds)")
        } else {
            waiting.waitAtMostSeconds = waiting.quietSeconds
        }
        return waiting
    }
}
