// SPDX-License-Identifier: Apache-2.0
//
// Measures hot paths of single rooms against the thresholds in this folder. Measurements that need peers or several
// processes are in `conformance/bench_ingest.py` and `conformance/bench_inference.py`.
//
//   Benchmarks [NAME]                     all benchmarks, or those whose name contains NAME
//   Benchmarks answer FOLDER              answers for `training/references/exact_sam.py`; it does not measure a rate
//   Benchmarks track FOLDER               the same for `training/references/exact_sam2.py`
//   Benchmarks frames FOLDER              milliseconds of each step for the frames of one series
//   Benchmarks encoder|prompt|automatic WEIGHTS    serves `conformance/bench_encoder.py`
//   Benchmarks tracker WEIGHTS SIZE       serves `conformance/bench_tracker.py`

import Foundation

if CommandLine.arguments.count == 3, CommandLine.arguments[1] == "answer" {
    try SegmentAnythingAnswers.answer(folder: CommandLine.arguments[2])
    exit(0)
}

if CommandLine.arguments.count == 3, CommandLine.arguments[1] == "track" {
    try TrackedAnswers.answer(folder: CommandLine.arguments[2])
    exit(0)
}

if CommandLine.arguments.count == 3, CommandLine.arguments[1] == "frames" {
    try FrameSteps.print(folder: CommandLine.arguments[2])
    exit(0)
}

if CommandLine.arguments.count == 3, let task = EncoderRounds.Task(rawValue: CommandLine.arguments[1]) {
    try EncoderRounds.serve(task, weights: CommandLine.arguments[2])
    exit(0)
}

if CommandLine.arguments.count == 4, CommandLine.arguments[1] == "tracker", let size = Int(CommandLine.arguments[3]) {
    try TrackerRounds.serve(weights: CommandLine.arguments[2], size: size)
    exit(0)
}

let chosen = CommandLine.arguments.dropFirst().first
var failed = false

for benchmark in Benchmark.segmenters + Benchmark.journal {
    if let chosen, !benchmark.name.contains(chosen) { continue }
    let rate = try benchmark.run()
    let verdict = rate >= benchmark.atLeast ? "" : "  UNDER THE THRESHOLD"
    print(
        "\(benchmark.name): \(String(format: "%.1f", rate)) \(benchmark.unit) "
            + "(at least \(String(format: "%.1f", benchmark.atLeast)))\(verdict)")
    failed = failed || rate < benchmark.atLeast
}
exit(failed ? 1 : 0)
