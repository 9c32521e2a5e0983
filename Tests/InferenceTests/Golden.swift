// SPDX-License-Identifier: Apache-2.0

import Foundation
import Inference
import Testing

/// Numbers made by PyTorch: `training/references/golden_layers.py` writes them into the folder beside this file.
struct Golden {
    let file: SafeTensors

    init(_ name: String) throws {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Golden")
        file = try SafeTensors(path: folder.appending(path: "\(name).safetensors").path)
    }

    /// The JSON under the metadata key `kontur`.
    func facts<Facts: Decodable>(_ type: Facts.Type) throws -> Facts {
        try JSONDecoder().decode(type, from: Data(#require(file.metadata["kontur"]).utf8))
    }
}

/// The largest difference, relative to the largest reference value (at least 1).
func difference(_ found: Tensor, _ reference: Tensor) -> Float {
    guard found.shape == reference.shape else { return .infinity }
    return difference(found.values, reference.values)
}

func difference(_ found: [Float], _ reference: [Float]) -> Float {
    guard found.count == reference.count else { return .infinity }
    var (largest, scale): (Float, Float) = (0, 1)
    for (x, y) in zip(found, reference) {
        // A NaN is never the smaller one, so it shows.
        largest = abs(x - y) <= largest ? largest : abs(x - y)
        scale = max(scale, abs(y))
    }
    return largest / scale
}

extension Trait where Self == ConditionTrait {
    /// For tests that need bf16 instructions.
    static var needsBF16: Self {
        .enabled(if: Compute.available.contains(.bf16), "this processor has neither AVX512-BF16 nor AMX")
    }
}
