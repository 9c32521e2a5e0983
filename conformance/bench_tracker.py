#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times the parts of SAM 2.1 per tracked frame in Kontur, PyTorch, ONNX Runtime and OpenVINO.

A part is the image encoder, the memory attention (7 memories and 16 object pointers), the mask decoder with prompt encoder
and object pointer, or the memory encoder with the enlarging of its mask. All contenders use the same drawn weights and the
same number of threads. Each is a process of its own that loads once and runs the part on request. They take turns, so that
a disturbance meets all of them. In its turn, a contender runs the part twice, and the second run counts: the first one wakes
threads that slept through the turns of the others, and a tracked volume does not let them sleep. The report shows the median
times, and the median over the rounds of Kontur's time divided by the peer's. bf16 runs if the processor has instructions for
it.

    python conformance/bench_tracker.py                        all parts of T at 512 and 1024 and of B+ at 1024, 5 rounds
    python conformance/bench_tracker.py --sizes t:512 --parts attention --rounds 9
    python conformance/bench_tracker.py --volume 88            88 frames of 512 in both directions, beside PyTorch

The memory attention rotates complex numbers, which ONNX does not have. Its export rotates pairs of real numbers instead.
A peer that cannot export or run a part is named and left out. The benchmark needs training/requirements-reference.txt.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
sys.path[:0] = [ROOT, HERE]

from bench_encoder import BENCHMARKS, Contender, has_bf16  # noqa: E402

PARTS = ["image", "attention", "decoder", "memory"]
PEERS = {"fp32": ["torch-fp32", "onnxruntime-fp32", "openvino-fp32"], "bf16": ["torch-bf16-autocast", "openvino-bf16"]}
POINTERS = 4 * 16  # rows of 16 object pointers


def network(size):
    """The package's network `t:512` and so on with drawn weights."""
    import torch
    from training.networks import reference_package  # noqa: F401  (makes torchvision importable)
    from sam2.build_sam import build_sam2_video_predictor
    name, side = size.split(":")
    grid = int(side) // 16
    torch.manual_seed(7)
    options = [f"++model.image_size={side}"]
    for kind in ("self", "cross"):
        options.append(f"++model.memory_attention.layer.{kind}_attention.feat_sizes=[{grid},{grid}]")
    return build_sam2_video_predictor(f"configs/sam2.1/sam2.1_hiera_{name}.yaml", None, device="cpu",
                                      hydra_overrides_extra=options).float().eval()


def part_of(model, part):
    """A part as a module without state of its own, and its inputs."""
    import torch
    from torch.nn import functional
    side, grid = model.image_size, model.image_size // 16
    generator = torch.Generator().manual_seed(8)

    def noise(*shape):
        return torch.randn(*shape, generator=generator)

    class Part(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

    class Image(Part):
        def forward(self, image):
            found = self.model.forward_image(image)
            return tuple(found["backbone_fpn"])

    class Attention(Part):
        def forward(self, x, position, memory, memory_position):
            return self.model.memory_attention(curr=[x], curr_pos=[position], memory=memory, memory_pos=memory_position,
                                               num_obj_ptr_tokens=POINTERS)

    class Decoder(Part):
        def forward(self, x, s0, s1):
            sparse, dense = self.model.sam_prompt_encoder(
                points=(torch.zeros(1, 1, 2), -torch.ones(1, 1, dtype=torch.int32)), boxes=None, masks=None)
            masks, iou, tokens, score = self.model.sam_mask_decoder(
                image_embeddings=x, image_pe=self.model.sam_prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse, dense_prompt_embeddings=dense, multimask_output=True,
                repeat_image=False, high_res_features=[s0, s1])
            return masks, iou, score, self.model.obj_ptr_proj(tokens[:, 0])

    class Memory(Part):
        def forward(self, x, logits):
            mask = functional.interpolate(logits, size=(side, side), mode="bilinear", align_corners=False)
            found = self.model.memory_encoder(x, 20 * torch.sigmoid(mask) - 10, skip_mask_sigmoid=True)
            return found["vision_features"]

    rows = 7 * grid ** 2 + POINTERS
    x = noise(1, 256, grid, grid)
    inputs = {
        "image": (noise(1, 3, side, side),),
        "attention": (noise(grid ** 2, 1, 256), noise(grid ** 2, 1, 256), noise(rows, 1, 64), noise(rows, 1, 64)),
        "decoder": (x, noise(1, 32, 4 * grid, 4 * grid), noise(1, 64, 2 * grid, 2 * grid)),
        "memory": (x, noise(1, 1, 4 * grid, 4 * grid))}
    return {"image": Image, "attention": Attention, "decoder": Decoder, "memory": Memory}[part]().eval(), inputs[part]


def rotate_pairs(q, k, freqs_cis, repeat_freqs_k=False):
    """`apply_rotary_enc` of the package without complex numbers."""
    import torch
    cosines, sines = (torch.tensor(values.numpy()) for values in (freqs_cis.real, freqs_cis.imag))

    def turned(x, repeats):
        pairs = x.reshape(*x.shape[:-1], -1, 2)
        even, odd = pairs[..., 0], pairs[..., 1]
        c, s = cosines.repeat(repeats, 1), sines.repeat(repeats, 1)
        return torch.stack([even * c - odd * s, even * s + odd * c], -1).reshape(x.shape)
    return turned(q, 1), turned(k, int(k.shape[-2]) // int(q.shape[-2]) if repeat_freqs_k else 1)


def exported(size, part, folder):
    """The path of a part as ONNX, which is exported once, and its inputs by name."""
    import torch
    from sam2.modeling.sam import transformer
    module, inputs = part_of(network(size), part)
    names = [f"input{index}" for index in range(len(inputs))]
    path = os.path.join(folder, f"{size.replace(':', '-')}-{part}.onnx")
    if not os.path.exists(path):
        transformer.apply_rotary_enc = rotate_pairs
        with torch.inference_mode():
            torch.onnx.export(module, inputs, f"{path}.new", input_names=names, opset_version=17, dynamo=False)
        os.rename(f"{path}.new", path)
    return path, {name: value.numpy() for name, value in zip(names, inputs)}


def torch_peer(name, size, part, threads):
    import torch
    torch.set_num_threads(threads)
    module, inputs = part_of(network(size), part)

    def run():
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=name == "torch-bf16-autocast"):
            module(*inputs)
    return run


def onnxruntime_peer(size, part, folder, threads):
    import onnxruntime
    path, inputs = exported(size, part, folder)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, inputs)


def openvino_peer(name, size, part, folder, threads):
    import openvino
    path, inputs = exported(size, part, folder)
    precision = openvino.Type.bf16 if name.endswith("bf16") else openvino.Type.f32
    compiled = openvino.Core().compile_model(path, "CPU", {
        "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision})
    request = compiled.create_infer_request()
    return lambda: request.infer(list(inputs.values()))


def serve_peer(options):
    """Prints `ready`. Then runs the part once for every line of standard input, and prints the seconds."""
    name, (size,), (part,) = options.peer, options.sizes, options.parts
    if name.startswith("torch"):
        run = torch_peer(name, size, part, options.threads)
    elif name.startswith("onnxruntime"):
        run = onnxruntime_peer(size, part, options.folder, options.threads)
    else:
        run = openvino_peer(name, size, part, options.folder, options.threads)
    run()
    print("ready", flush=True)
    for _ in sys.stdin:
        begin = time.perf_counter()
        run()
        print(f"{time.perf_counter() - begin:.6f}", flush=True)


def weights_of(size, folder):
    from safetensors.torch import save_file
    path = os.path.join(folder, f"{size.replace(':', '-')}.safetensors")
    if not os.path.exists(path):
        save_file({name: value.contiguous() for name, value in network(size).state_dict().items()}, path)
    return path


def kontur(precision, size, folder):
    # The variables of `WorkerSlot`. Threads that sleep while they wait leave the cores to the others.
    return Contender(f"kontur-{precision}", [BENCHMARKS, "tracker", weights_of(size, folder), size.split(":")[1]],
                     {"KONTUR_INFERENCE": precision, "OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "500",
                      "MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
                      "MALLOC_TRIM_THRESHOLD_": str(128 << 20)})


def compare(size, part, folder, options):
    """Prints the times of one part. The result is the ratios by peer."""
    entered = []
    for precision in options.precisions:
        entered.append(kontur(precision, size, folder))
        for name in PEERS[precision]:
            if not options.only or name in options.only:
                entered.append(Contender(name, [
                    sys.executable, "-W", "ignore", __file__, "--peer", name, "--folder", folder, "--sizes", size,
                    "--parts", part, "--threads", str(options.threads)]))
    for one in [one for one in entered if not one.works]:
        print(f"    {one.name}: does not run {part}", flush=True)
    entered = [one for one in entered if one.works]
    for number in range(options.rounds + 1):  # the first round warms up
        for one in entered:
            command = part if one.name.startswith("kontur") else "go"
            one.ask(command)
            seconds = float(one.ask(command))
            if number:
                one.times.append(seconds)
    ratios = {}
    for one in entered:
        text = f"    {one.name:22}{1000 * statistics.median(one.times):10.1f} ms{one.peak:9.0f} MB"
        if not one.name.startswith("kontur"):
            mine = next(other for other in entered if other.name == f"kontur-{one.name.split('-')[1]}")
            ratios[one.name] = statistics.median(a / b for a, b in zip(mine.times, one.times))
            text += f"{ratios[one.name]:9.2f} = Kontur's time to it"
        print(text, flush=True)
    for one in entered:
        one.close()
    return ratios


def volume(frames, size, folder, options):
    """Tracks a sequence in both directions, in Kontur and in the package."""
    import torch
    mine = {}
    for precision in options.precisions:
        ours = kontur(precision, size, folder)
        ours.ask("volume 3")
        mine[precision] = float(ours.ask(f"volume {frames}"))
        print(f"kontur-{precision}: {frames} frames {mine[precision]:.1f} s, peak {ours.peak:.0f} MB", flush=True)
        ours.close()
    torch.set_num_threads(options.threads)
    from sam2 import sam2_video_predictor as package
    package.tqdm = lambda rows, **_: rows
    package.load_video_frames = lambda video_path, **_: video_path  # init_state gets (frames, height, width)
    model, side = network(size), int(size.split(":")[1])
    model.fill_hole_area = 0
    image = torch.randn(3, side, side, generator=torch.Generator().manual_seed(8))
    for precision in options.precisions:
        begin = time.perf_counter()
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            state = model.init_state((image.expand(frames, -1, -1, -1), side, side))
            for reverse in (False, True):
                model.reset_state(state)
                box = [side / 4, side / 4, 3 * side / 4, 3 * side / 4]
                model.add_new_points_or_box(state, frame_idx=frames // 2, obj_id=1, box=box)
                for _ in model.propagate_in_video(state, reverse=reverse):
                    pass
        seconds = time.perf_counter() - begin
        print(f"package sam2, {precision}: {seconds:.1f} s; Kontur's time to it {mine[precision] / seconds:.3f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--sizes", nargs="*", default=["t:512", "t:1024", "b+:1024"], help="size and input, as t:512")
    parser.add_argument("--parts", nargs="*", default=PARTS, choices=PARTS)
    parser.add_argument("--rounds", type=int, default=5, help="measured rounds after the warm-up")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of each contender")
    parser.add_argument("--only", nargs="*", help="run only these peers")
    parser.add_argument("--precisions", nargs="*", default=["fp32", "bf16"] if has_bf16() else ["fp32"])
    parser.add_argument("--volume", type=int, help="time a sequence of so many frames instead of the parts")
    parser.add_argument("--folder", help="keep exports and weights here")
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        return serve_peer(options)
    with tempfile.TemporaryDirectory(prefix="kontur-bench-") as temporary:
        folder = options.folder or temporary
        if options.volume:
            return volume(options.volume, options.sizes[0], folder, options)
        found = {}
        for size in options.sizes:
            for part in options.parts:
                print(f"{size} {part}", flush=True)
                found[f"{size} {part}"] = compare(size, part, folder, options)
        print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
