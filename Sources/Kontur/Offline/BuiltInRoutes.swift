// SPDX-License-Identifier: Apache-2.0

import Routing

/// What `kontur segment` and `kontur route explain` go by when no configuration is given.
enum BuiltInRoutes {
    static let yaml = """
        routes:
          - name: colonoscopy
            when: {modality: [ES]}
            segmenter: polyp-compact
            sendTo: []
          - name: left-atrium
            when:
              - {modality: [MR], numberOfInstances: {min: 20}, seriesDescription: {matches: "\(words)"}}
              - {modality: [MR], numberOfInstances: {min: 20}, studyDescription: {matches: "\(words)"}}
            segmenter: left-atrium-compact
            sendTo: []
        """

    private static let words = "(?i)LGE|PSIR|late.?gad|delayed.?enh"

    /// - Parameter segmenters: the names there are.
    static func configuration(segmenters: [String]) throws -> NodeConfiguration {
        var configuration = try NodeConfiguration(
            yaml: yaml, file: "built-in routes", folder: ".", segmenters: segmenters)
        configuration.file = nil
        return configuration
    }
}
