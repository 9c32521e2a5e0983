# SPDX-License-Identifier: Apache-2.0
"""Writes the numbers for the tests of the Swift layers and U-Nets: python -m training.references.golden_layers

The files in Tests/InferenceTests/Golden/ are safetensors in float32, made by PyTorch on the CPU:

    layers.safetensors   single layers: `<layer>.input`, `<layer>.weight`, `<layer>.bias`, `<layer>.output`; the metadata key
                         `kontur` is a JSON of the layers' kinds and options
    unet2d.safetensors   a tiny residual U-Net: the tensors of the folded network under their own names, `input`, and the
    unet3d.safetensors   output of each stage as `stage.<name>`; `kontur` holds the architecture
    resize.safetensors   `<n>to<m>.matrix`, and images resized both ways by torch's own antialiased interpolation

Batch norms get drawn statistics before they are folded. Weights and inputs are drawn from a fixed seed.
"""
import json

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from training.networks.residual_unet import Architecture, UNet
from training.paths import INFERENCE_GOLDEN
from training.recipes.resize import matrix, resize



def draw(*shape):
    return torch.randn(*shape)


def draw_norms(network):
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm3d, nn.InstanceNorm2d, nn.InstanceNorm3d)):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
            if module.running_mean is not None:
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.5, 1.5)
        if isinstance(module, (nn.Conv2d, nn.Conv3d)) and module.bias is not None:
            nn.init.normal_(module.bias, 0, 0.3)


def write(name, tensors, facts):
    tensors = {key: value.detach().float().contiguous().clone() for key, value in tensors.items()}
    save_file(tensors, INFERENCE_GOLDEN / f"{name}.safetensors", {"kontur": json.dumps(facts, sort_keys=True)})


def layers():
    tensors, facts = {}, {}

    def add(name, kind, output, options=None, **given):
        facts[name] = {"kind": kind, **(options or {})}
        tensors.update({f"{name}.{key}": value for key, value in given.items()} | {f"{name}.output": output})

    for axes, size in ((2, (9, 11)), (3, (5, 6, 7))):
        convolution = F.conv2d if axes == 2 else F.conv3d
        for kernel, stride in ((1, 1), (3, 1), (3, 2), (2, 2), (4, 2)):
            x, w, b = draw(1, 3, *size), draw(5, 3, *[kernel] * axes), draw(5)
            options = {"kernel": kernel, "stride": stride, "padding": (kernel - 1) // 2}
            add(f"conv{axes}d_k{kernel}_s{stride}", f"conv{axes}d",
                convolution(x, w, b, stride, (kernel - 1) // 2), options, input=x, weight=w, bias=b)
        x = draw(1, 16, *size)
        w, b = draw(32, 16, *[3] * axes), draw(32)
        add(f"conv{axes}d_wide", f"conv{axes}d", convolution(x, w, b, 1, 1), {"kernel": 3, "stride": 1, "padding": 1},
            input=x, weight=w, bias=b)
        x, w, b = draw(2, 5, *size) * 3 + 1, draw(5), draw(5)
        add(f"instance_norm{axes}d", "instance_norm", F.instance_norm(x, weight=w, bias=b, eps=1e-5), {"eps": 1e-5},
            input=x, weight=w, bias=b)
        mode = "bilinear" if axes == 2 else "trilinear"
        for factor in (2, 4):
            x = draw(1, 2, *[n // 2 + 1 for n in size])
            add(f"upsample{axes}d_x{factor}", "upsample",
                F.interpolate(x, scale_factor=factor, mode=mode, align_corners=False), {"factor": factor}, input=x)
    x = draw(2, 7)
    add("leaky_relu", "leaky_relu", F.leaky_relu(x, 0.01), {"negative_slope": 0.01}, input=x)
    add("sigmoid", "sigmoid", torch.sigmoid(x * 5), input=x * 5)
    write("layers", tensors, facts)


def network(name, arch, size):
    net = UNet(arch).eval()
    with torch.no_grad():
        draw_norms(net)
        net = net.folded()
        x = draw(1, arch.channels, *size)
        tensors = dict(net.state_dict()) | {"input": x}
        tensors |= {f"stage.{stage}": output for stage, output in net.stages(x)}
    write(name, tensors, {"architecture": net.arch.as_dict(), "stages": [stage for stage, _ in net.stages(x)]})


def resizing():
    tensors = {}
    for n, m in ((13, 5), (5, 13), (8, 4), (7, 7), (331, 192), (1, 3)):
        tensors[f"{n}to{m}.matrix"] = torch.from_numpy(matrix(n, m)) if n * m < 1000 else torch.tensor(
            matrix(n, m)[[0, 1, m // 2, m - 1]])
    for name, size, target in (("down", (23, 31), (8, 12)), ("up", (8, 12), (23, 31)), ("mixed", (17, 9), (6, 20))):
        image = draw(*size)
        tensors[f"{name}.input"] = image
        tensors[f"{name}.output"] = F.interpolate(image[None, None], size=target, mode="bilinear", antialias=True,
                                                  align_corners=False)[0, 0]
    volume = draw(6, 11, 9)
    tensors |= {"volume.input": volume, "volume.output": torch.from_numpy(resize(volume.numpy(), (9, 5, 13)))}
    write("resize", tensors, {"331to192.matrix": "rows 0, 1, 96 and 191"})


def main():
    INFERENCE_GOLDEN.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(7)
    with torch.no_grad():
        layers()
        resizing()
    network("unet2d", Architecture(axes=2, channels=3, widths=(8, 16, 16), encoder_blocks=(0, 1, 1),
                                   decoder_blocks=(1,)), (24, 32))
    network("unet3d", Architecture(axes=3, channels=1, widths=(8, 8, 16), encoder_blocks=(0, 1, 1), decoder_blocks=(1, 1),
                                   down_kernel=2, norm="instance", negative_slope=0.01), (16, 8, 24))
    for path in sorted(INFERENCE_GOLDEN.glob("*.safetensors")):
        print(path.name, path.stat().st_size)


if __name__ == "__main__":
    main()
