#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Seconds of SAM's ViT-B image encoder at 1024 x 1024: Kontur beside PyTorch, ONNX Runtime and OpenVINO.

The same drawn weights, image and number of threads for everybody. Every contender is a process of its own that loads
once and then encodes when it is told; they take turns, so that a noisy moment meets all of them. After the warm-up
each round gives one time a contender; what is reported is the median time, and the median over the rounds of our time
divided by a peer's in that round. bf16 runs where the processor has instructions for it.

    python conformance/bench_encoder.py                    7 rounds
    python conformance/bench_encoder.py --automatic        one automatic run (1024 points) too, beside segment-anything
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
sys.path[:0] = [os.path.join(ROOT, "training"), os.path.join(HERE, "checks")]

PEERS = {"fp32": ["torch-fp32", "onnxruntime-fp32", "openvino-fp32"],
         "bf16": ["torch-bf16-autocast", "torch-bf16-compiled", "openvino-bf16"]}


def processor_flags():
    with open("/proc/cpuinfo") as file:
        return next((line for line in file if line.startswith("flags")), "").split()


def drawn_encoder(weights):
    """The reference's ViT-B with the drawn weights, and an image for it."""
    import torch
    from segment_anything import sam_model_registry
    model = sam_model_registry["vit_b"]()
    model.load_state_dict(torch.load(weights, weights_only=True))
    return model.eval(), torch.randn(1, 3, 1024, 1024, generator=torch.Generator().manual_seed(7))


def torch_peer(name, weights, threads):
    import torch
    torch.set_num_threads(threads)
    model, image = drawn_encoder(weights)
    encoder = model.image_encoder
    if name == "torch-bf16-compiled":
        encoder, image = encoder.bfloat16(), image.bfloat16()
        encoder = torch.compile(encoder)

    def run():
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=name == "torch-bf16-autocast"):
            encoder(image)
    return run


def exported(weights, folder):
    """The encoder as ONNX, exported once."""
    import torch
    path = os.path.join(folder, "encoder.onnx")
    if not os.path.exists(path):
        model, image = drawn_encoder(weights)
        with torch.inference_mode():
            torch.onnx.export(model.image_encoder, (image,), f"{path}.new", input_names=["image"],
                              output_names=["embedding"], opset_version=17, dynamo=False)
        os.rename(f"{path}.new", path)
    return path, drawn_encoder(weights)[1].numpy()


def onnxruntime_peer(weights, folder, threads):
    import onnxruntime
    path, image = exported(weights, folder)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"image": image})


def openvino_peer(name, weights, folder, threads):
    import openvino
    path, image = exported(weights, folder)
    precision = openvino.Type.bf16 if name.endswith("bf16") else openvino.Type.f32
    compiled = openvino.Core().compile_model(path, "CPU", {
        "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision})
    request = compiled.create_infer_request()
    return lambda: request.infer({0: image})


def serve_peer(name, weights, folder, threads):
    """Says `ready`, then encodes once for every line read and answers with the seconds that took."""
    if name.startswith("torch"):
        run = torch_peer(name, weights, threads)
    elif name.startswith("onnxruntime"):
        run = onnxruntime_peer(weights, folder, threads)
    else:
        run = openvino_peer(name, weights, folder, threads)
    print("ready", flush=True)
    for _ in sys.stdin:
        begin = time.perf_counter()
        run()
        print(f"{time.perf_counter() - begin:.6f}", flush=True)


class Contender:
    def __init__(self, name, command, environment=None):
        self.name, self.times = name, []
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        stderr=subprocess.DEVNULL, env={**os.environ, **(environment or {})})
        self.works = self.process.stdout.readline().strip() == "ready"
        if not self.works:
            self.close()

    def run(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        if not answer:
            raise SystemExit(f"{self.name} ended in the middle of a round")
        return float(answer)

    @property
    def peak(self):
        with open(f"/proc/{self.process.pid}/status") as file:
            return int(next(line for line in file if line.startswith("VmHWM")).split()[1]) / 1024

    def close(self):
        self.process.stdin.close()
        self.process.wait(60)


def contenders(weights, folder, threads, chosen):
    benchmarks = os.path.join(ROOT, ".build/release/Benchmarks")
    has_bf16 = bool({"amx_bf16", "avx512_bf16"} & set(processor_flags()))
    for precision in ["fp32", "bf16"] if has_bf16 else ["fp32"]:
        # Threads that sleep while they wait leave the cores to the others.
        yield Contender(f"kontur-{precision}", [benchmarks, "encoder", weights.replace(".pth", ".safetensors")],
                        {"KONTUR_INFERENCE": precision, "OMP_WAIT_POLICY": "passive"})
        for name in PEERS[precision]:
            if not chosen or name in chosen:
                yield Contender(name, [sys.executable, __file__, "--peer", name, "--weights", weights,
                                       "--folder", folder, "--threads", str(threads)])


def report(entered):
    print(f"\n{'':24}{'median s':>10}{'fastest s':>11}{'peak MB':>9}")
    for one in entered:
        print(f"{one.name:24}{statistics.median(one.times):10.3f}{min(one.times):11.3f}{one.peak:9.0f}")
    for precision in PEERS:
        ours = next((one for one in entered if one.name == f"kontur-{precision}"), None)
        for peer in [one for one in entered if one.name in PEERS[precision]] if ours else []:
            ratio = statistics.median(a / b for a, b in zip(ours.times, peer.times))
            print(f"{ours.name} / {peer.name}: {ratio:.3f}")


def automatic(weights, threads):
    """One automatic run of 1024 points on a drawn image: ours, then segment-anything's in PyTorch fp32."""
    import numpy
    import torch
    from segment_anything import SamAutomaticMaskGenerator
    torch.set_num_threads(threads)
    image = numpy.random.default_rng(7).integers(0, 256, (768, 1024, 3), numpy.uint8)
    benchmarks = os.path.join(ROOT, ".build/release/Benchmarks")
    ours = Contender("kontur", [benchmarks, "automatic", weights.replace(".pth", ".safetensors")],
                     {"OMP_WAIT_POLICY": "passive"})
    model, _ = drawn_encoder(weights)
    generator = SamAutomaticMaskGenerator(model)
    mine = ours.run()
    begin = time.perf_counter()
    generator.generate(image)
    theirs = time.perf_counter() - begin
    ours.close()
    print(f"automatic, 1024 points: kontur {mine:.1f} s, segment-anything {theirs:.1f} s, ratio {mine / theirs:.3f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--only", nargs="*", help="these peers alone")
    parser.add_argument("--automatic", action="store_true")
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    parser.add_argument("--weights", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        return serve_peer(options.peer, options.weights, options.folder, options.threads)
    with tempfile.TemporaryDirectory(prefix="kontur-bench-") as folder:
        from drawn_sam import write_drawn
        weights = write_drawn("vit_b", folder)
        entered = []
        for one in contenders(weights, folder, options.threads, options.only):
            if one.works:
                print(f"{one.name}: warm-up {one.run():.2f} s", flush=True)
                entered.append(one)
            else:
                print(f"{one.name}: not available here", flush=True)
        for number in range(options.rounds):
            for one in entered:
                one.times.append(one.run())
            print(f"round {number + 1}: " + "  ".join(f"{one.name} {one.times[-1]:.2f}" for one in entered), flush=True)
        report(entered)
        for one in entered:
            one.close()
        if options.automatic:
            automatic(weights, options.threads)


if __name__ == "__main__":
    main()
