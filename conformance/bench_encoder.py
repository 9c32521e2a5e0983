#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times SAM's ViT-B image encoder at 1024 x 1024 in Kontur, PyTorch, ONNX Runtime and OpenVINO.

All contenders use the same drawn weights and the same number of threads. Each is a process of its own that loads once
and encodes on request. They take turns, so that a disturbance meets all of them. After a warm-up, each round gives
one time per contender. The report shows the median times, and the median over the rounds of Kontur's time divided by
the peer's. bf16 runs if the processor has instructions for it.

    python conformance/bench_encoder.py                the encoder, 7 rounds
    python conformance/bench_encoder.py --prompt       from one prompt to its masks, with the embedding ready
    python conformance/bench_encoder.py --automatic    one automatic run of 1024 points, beside segment-anything's

The benchmark needs the packages of training/requirements-reference.txt.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
sys.path[:0] = [ROOT]

BENCHMARKS = os.path.join(ROOT, ".build/release/Benchmarks")
PEERS = {"fp32": ["torch-fp32", "onnxruntime-fp32", "openvino-fp32"],
         "bf16": ["torch-bf16-autocast", "torch-bf16-compiled", "openvino-bf16"]}

# Floating-point operations of ViT-B's encoder at 1024 x 1024. A multiply-add counts as two.
TOKENS, WIDTH, BLOCKS, WINDOWS = 64 * 64, 768, 12, 5 * 5
OPERATIONS = {"projections": BLOCKS * 2 * TOKENS * WIDTH * 4 * WIDTH, "MLPs": BLOCKS * 2 * TOKENS * WIDTH * 8 * WIDTH,
              "global attention": 4 * 4 * TOKENS ** 2 * WIDTH, "window attention": 8 * 4 * WINDOWS * 14 ** 4 * WIDTH}


def has_bf16():
    with open("/proc/cpuinfo") as file:
        flags = next((line for line in file if line.startswith("flags")), "").split()
    return bool({"amx_bf16", "avx512_bf16"} & set(flags))


def drawn():
    """The reference's ViT-B with drawn weights, and an input of its encoder."""
    import torch
    from training.references.exact_sam import build
    network, size = build("vit_b")
    return network.eval(), torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(7))


def torch_peer(name, threads):
    import torch
    torch.set_num_threads(threads)
    network, image = drawn()
    encoder = network.image_encoder
    if name == "torch-bf16-compiled":
        encoder, image = torch.compile(encoder.bfloat16()), image.bfloat16()

    def run():
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=name == "torch-bf16-autocast"):
            encoder(image)
    return run


def exported(folder):
    """The path of the encoder as ONNX, which is exported once, and an input."""
    import torch
    network, image = drawn()
    path = os.path.join(folder, "encoder.onnx")
    if not os.path.exists(path):
        with torch.inference_mode():
            torch.onnx.export(network.image_encoder, (image,), f"{path}.new", input_names=["image"],
                              output_names=["embedding"], opset_version=17, dynamo=False)
        os.rename(f"{path}.new", path)
    return path, image.numpy()


def onnxruntime_peer(folder, threads):
    import onnxruntime
    path, image = exported(folder)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"image": image})


def openvino_peer(name, folder, threads):
    import openvino
    path, image = exported(folder)
    precision = openvino.Type.bf16 if name.endswith("bf16") else openvino.Type.f32
    compiled = openvino.Core().compile_model(path, "CPU", {
        "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision})
    request = compiled.create_infer_request()
    return lambda: request.infer({0: image})


def serve_peer(name, folder, threads):
    """Prints `ready`. Then encodes once for every line of standard input, and prints the seconds."""
    if name.startswith("torch"):
        run = torch_peer(name, threads)
    elif name.startswith("onnxruntime"):
        run = onnxruntime_peer(folder, threads)
    else:
        run = openvino_peer(name, folder, threads)
    print("ready", flush=True)
    for _ in sys.stdin:
        begin = time.perf_counter()
        run()
        print(f"{time.perf_counter() - begin:.6f}", flush=True)


class Contender:
    """A process that encodes once for every line that it gets."""

    def __init__(self, name, command, environment=None):
        self.name, self.times, self.bare = name, [], []
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        stderr=subprocess.DEVNULL, env={**os.environ, **(environment or {})})
        # Libraries print, too. Lines before `ready` are theirs.
        self.works = any(line.strip() == "ready" for line in iter(self.process.stdout.readline, ""))

    def ask(self, line="go"):
        try:
            self.process.stdin.write(f"{line}\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline().strip()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise SystemExit(
                f"{self.name} ended in the middle of a round; all contenders together take 20 GB of memory")
        return answer

    def run(self):
        return float(self.ask())

    @property
    def peak(self):
        """MB of resident memory."""
        with open(f"/proc/{self.process.pid}/status") as file:
            return int(next(line for line in file if line.startswith("VmHWM")).split()[1]) / 1024

    def close(self):
        self.process.stdin.close()
        self.process.wait(60)


def kontur(work, precision, weights):
    # Threads that sleep while they wait leave the cores to the others.
    return Contender(f"kontur-{precision}", [BENCHMARKS, work, weights],
                     {"KONTUR_INFERENCE": precision, "OMP_WAIT_POLICY": "passive"})


def contenders(weights, folder, threads, chosen):
    for precision in ["fp32", "bf16"] if has_bf16() else ["fp32"]:
        yield kontur("encoder", precision, weights)
        for name in PEERS[precision]:
            if not chosen or name in chosen:
                yield Contender(name, [sys.executable, __file__, "--peer", name, "--folder", folder,
                                       "--threads", str(threads)])


def report_layers(ours):
    """Prints the share of time per kind of layer, and its speed relative to the bare loop of the same rounds."""
    seconds, bare = json.loads(ours.ask("layers")), statistics.median(ours.bare)
    rounds, whole = len(ours.times) + 1, sum(seconds.values())  # the warm-up counts, too
    print(f"{ours.name}: a bare loop reaches {bare / 1e12:.3f} TFLOP/s")
    for kind, share in sorted(seconds.items(), key=lambda item: -item[1]):
        speed = OPERATIONS[kind] * rounds / share if kind in OPERATIONS else None
        rate = f"{speed / 1e12:8.3f} TFLOP/s{speed / bare:5.0%}" if speed else ""
        print(f"    {kind:17}{share / whole:5.0%}{rate}")


def report(entered):
    print(f"\n{'':24}{'median s':>10}{'fastest s':>11}{'peak MB':>9}")
    for one in entered:
        print(f"{one.name:24}{statistics.median(one.times):10.3f}{min(one.times):11.3f}{one.peak:9.0f}")
    for precision, names in PEERS.items():
        for ours in [one for one in entered if one.name == f"kontur-{precision}"]:
            for peer in [one for one in entered if one.name in names]:
                ratio = statistics.median(a / b for a, b in zip(ours.times, peer.times))
                print(f"{ours.name} / {peer.name}: {ratio:.3f}")
            report_layers(ours)


def encoder(weights, folder, options):
    entered = []
    for one in contenders(weights, folder, options.threads, options.only):
        if one.works:
            print(f"{one.name}: warm-up {one.run():.2f} s", flush=True)
            entered.append(one)
        else:
            print(f"{one.name}: does not run here", flush=True)
    for number in range(options.rounds):
        for one in entered:
            one.times.append(one.run())
            if one.name.startswith("kontur"):
                one.bare.append(float(one.ask("bare")))
        print(f"round {number + 1}: " + "  ".join(f"{one.name} {one.times[-1]:.2f}" for one in entered), flush=True)
    report(entered)
    for one in entered:
        one.close()


def prompt(weights, rounds):
    for precision in ["fp32", "bf16"] if has_bf16() else ["fp32"]:
        ours = kontur("prompt", precision, weights)
        ours.run()
        print(f"{ours.name}: prompt to masks {1000 * statistics.median(ours.run() for _ in range(rounds)):.0f} ms")
        ours.close()


def automatic(weights, threads):
    """Runs 1024 points on noise of 1024 x 1024 in Kontur, then in segment-anything (PyTorch fp32)."""
    import numpy
    import torch
    from training.networks.reference_package import segment_anything
    torch.set_num_threads(threads)
    image = numpy.random.default_rng(7).integers(0, 256, (1024, 1024, 3), numpy.uint8)
    generator = segment_anything.SamAutomaticMaskGenerator(drawn()[0])
    mine = {}
    for precision in ["fp32", "bf16"] if has_bf16() else ["fp32"]:
        ours = kontur("automatic", precision, weights)
        mine[ours.name] = ours.run()
        ours.close()
    begin = time.perf_counter()
    generator.generate(image)
    theirs = time.perf_counter() - begin
    for name, seconds in mine.items():
        print(f"automatic, 1024 points: {name} {seconds:.1f} s, segment-anything {theirs:.1f} s, "
              f"ratio {seconds / theirs:.3f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=7, help="measured rounds after the warm-up")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of each contender")
    parser.add_argument("--only", nargs="*", help="run only these peers")
    parser.add_argument("--prompt", action="store_true", help="time one prompt instead of the encoder")
    parser.add_argument("--automatic", action="store_true", help="time automatic masks instead of the encoder")
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        return serve_peer(options.peer, options.folder, options.threads)
    with tempfile.TemporaryDirectory(prefix="kontur-bench-") as folder:
        from safetensors.torch import save_file
        weights = os.path.join(folder, "weights.safetensors")
        save_file({name: value.contiguous() for name, value in drawn()[0].state_dict().items()}, weights)
        if options.prompt:
            prompt(weights, options.rounds)
        elif options.automatic:
            automatic(weights, options.threads)
        else:
            encoder(weights, folder, options)


if __name__ == "__main__":
    main()
