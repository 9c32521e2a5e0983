// SPDX-License-Identifier: Apache-2.0

import Pipeline

/// Reads `series:`.
enum SeriesReader {
    private static let times = ["quietSeconds", "waitAtMostSeconds"]

    static func series(_ node: ConfigurationNode?) -> SeriesConfiguration {
        var series = SeriesConfiguration()
        guard let section = node?.section(times + ["perModality"]) else { return series }
        series.waiting = waiting(section, otherwise: series.waiting)
        for (key, name, value) in section["perModality"]?.entries(
            expecting: "modalities such as {ES: {quietSeconds: 120}}")
            ?? []
        {
            let isCode =
                (1...16).contains(name.utf8.count)
                && name.utf8.allSatisfy { byte in
                    (0x41...0x5A).contains(byte) || (0x30...0x39).contains(byte)
                }
            if !isCode { key.complain("expected a modality such as ES or MR, in capitals") }
            series.perModality[name] = waiting(value.section(times), otherwise: series.waiting)
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
