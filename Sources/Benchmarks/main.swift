// SPDX-License-Identifier: Apache-2.0
//
// Hot paths of single rooms against thresholds that are checked in here. What needs peers or several processes is
// measured by `conformance/bench_ingest.py` and `conformance/bench_inference.py`.

import Foundation

// Answers for the comparison with the reference: no measurement.
if CommandLine.arguments.count == 3, CommandLine.arguments[1] == "answer" {
    try SegmentAnythingAnswers.answer(folder: CommandLine.arguments[2])
    exit(0)
}

// A contender of `conformance/bench_encoder.py`.
if CommandLine.arguments.count == 3, let work = EncoderRounds.Work(rawValue: CommandLine.arguments[1]) {
    try EncoderRounds.serve(work, weights: CommandLine.arguments[2])
    exit(0)
}

let chosen = CommandLine.arguments.dropFirst().first
var failed = false

for benchmark in [InferenceBenchmark.all, JournalBenchmark.all].joined() {
    if let chosen, !benchmark.name.contains(chosen) { continue }
    let result = try benchmark.run()
    let verdict = result.value >= benchmark.atLeast ? "" : "  UNDER THE THRESHOLD"
    print(
        "\(benchmark.name): \(String(format: "%.1f", result.value)) \(benchmark.unit) "
            + "(at least \(String(format: "%.1f", benchmark.atLeast)))\(verdict)")
    failed = failed || result.value < benchmark.atLeast
}
exit(failed ? 1 : 0)
