// SPDX-License-Identifier: Apache-2.0
//
// Written by training/fitting/fit_auto_rule.py, which describes the fit.

extension SamAutoRule {
    /// The rule inside the executable.
    ///
    /// It was fitted without a network, on regions grown by colour. Its quality on weights of
    /// Segment Anything is unknown.
    package static let builtIn = SamAutoRule(
        provenance: Provenance(
            weights: "",
            fittedOn: "regions grown by colour and disturbed truth on Kvasir-SEG frames",
            frames: 90, masks: 9279, heldOutAUC: 0.9663,
            heldOutFrames: 30),
        mean: [-3.51023, 13.5165, 0.952925, 0.0, 0.0978479, 0.112698, 0.42061, 0.0147089, 0.508262],
        deviation: [1.09305, 8.18387, 0.0344012, 1.0, 0.176906, 0.134769, 0.263457, 0.0982354, 0.200829],
        coefficients: [0.153818, -0.597227, -0.0568358, 0.0, -1.73904, 0.512909, 0.839187, 0.00582938, -0.846999],
        intercept: -3.8415,
        threshold: 0.5)
}
