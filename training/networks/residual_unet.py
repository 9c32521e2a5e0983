# SPDX-License-Identifier: Apache-2.0
"""The compact residual U-Nets that ship inside Kontur: one class for two and three spatial axes.

The design follows Ronneberger 2015 (U-Net), He 2016 (residual blocks) and Isensee 2021 (instance norm and leaky ReLU in 3D).
It does not have transposed convolutions, concatenation (skips are added) or attention. Level l works on the input grid
divided by 2^(l+1).

    x                                       [batch, channels, (depth,) height, width]; each axis a multiple of 2^levels
    encoder.0   conv k=stem_kernel stride 2 -> norm -> act -> blocks        level 0
    encoder.l   conv k=down_kernel stride 2 -> norm -> act -> blocks        level l, kept as skip[l]
    decoder.j   conv 1x1 -> norm -> upsample x2 linear -> + skip[l] -> blocks       l = levels - 2 - j
    head        conv 1x1 with bias to one channel -> linear upsampling to the input grid: logits
    block(x)    act(x + norm(conv3(act(norm(conv3(x))))))

Padding is (k - 1) // 2 zeros on each side: 0 for k = 2, 1 for k = 3 and 4. Upsampling has half-pixel centres
(align_corners=False). `act` is ReLU if negative_slope is 0, otherwise LeakyReLU with that slope.

norm = "batch": convolutions do not have a bias during training. `folded()` gives the same network with the statistics folded
into weight and bias, so that a file holds only `….conv.weight` and `….conv.bias`.
norm = "instance": convolutions do not have a bias. Mean and biased variance are those of one channel of one image over all its
voxels, eps is 1e-5, and `….norm.weight` and `….norm.bias` follow.
"""
import copy
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass(frozen=True)
class Architecture:
    """The sizes of a residual U-Net; a weight file carries them as JSON."""
    axes: int  # 2 or 3 spatial axes
    channels: int  # of the input
    widths: tuple  # channels of each level, level 0 first
    encoder_blocks: tuple  # residual blocks of each level
    decoder_blocks: tuple  # residual blocks of the decoder's levels, deepest first; the head follows the last one
    stem_kernel: int = 4
    down_kernel: int = 3
    norm: str = "batch"  # "batch" (folded in files: "none") or "instance"
    negative_slope: float = 0.0

    @property
    def total_stride(self):
        return 2 ** len(self.widths)

    def as_dict(self):
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


POLYP_COMPACT = Architecture(
    axes=2, channels=3, widths=(32, 64, 128, 192, 256), encoder_blocks=(0, 1, 2, 2, 2), decoder_blocks=(1, 1, 1))

LEFT_ATRIUM_COMPACT = Architecture(
    axes=3, channels=1, widths=(24, 48, 96, 128), encoder_blocks=(0, 1, 2, 1), decoder_blocks=(1, 1, 1),
    down_kernel=2, norm="instance", negative_slope=0.01)


class ConvNorm(nn.Module):
    """A convolution and its norm, or only a convolution with a bias if the norm is "none" (folded)."""

    def __init__(self, arch, inputs, outputs, kernel, stride=1):
        super().__init__()
        convolution = nn.Conv2d if arch.axes == 2 else nn.Conv3d
        self.conv = convolution(inputs, outputs, kernel, stride, (kernel - 1) // 2, bias=arch.norm == "none")
        if arch.norm == "batch":
            self.norm = (nn.BatchNorm2d if arch.axes == 2 else nn.BatchNorm3d)(outputs)
        elif arch.norm == "instance":
            self.norm = (nn.InstanceNorm2d if arch.axes == 2 else nn.InstanceNorm3d)(outputs, eps=1e-5, affine=True)
        else:
            self.norm = nn.Identity()

    def forward(self, x):
        return self.norm(self.conv(x))

    def folded(self):
        """Weight and bias of the convolution with the batch norm's statistics folded in."""
        scale = self.norm.weight.double() / torch.sqrt(self.norm.running_var.double() + self.norm.eps)
        weight = self.conv.weight.double() * scale.reshape(-1, *[1] * (self.conv.weight.ndim - 1))
        bias = self.norm.bias.double() - self.norm.running_mean.double() * scale
        return weight.float(), bias.float()


class Block(nn.Module):
    """Two 3-wide convolutions with a residual connection."""

    def __init__(self, arch, width):
        super().__init__()
        self.a = ConvNorm(arch, width, width, 3)
        self.b = ConvNorm(arch, width, width, 3)
        self.negative_slope = arch.negative_slope

    def forward(self, x):
        inner = F.leaky_relu(self.a(x), self.negative_slope)
        return F.leaky_relu(x + self.b(inner), self.negative_slope)


class EncoderLevel(nn.Module):
    """A convolution of stride 2 and the residual blocks behind it."""

    def __init__(self, arch, inputs, width, kernel, blocks):
        super().__init__()
        self.down = ConvNorm(arch, inputs, width, kernel, stride=2)
        self.blocks = nn.ModuleList(Block(arch, width) for _ in range(blocks))
        self.negative_slope = arch.negative_slope

    def forward(self, x):
        x = F.leaky_relu(self.down(x), self.negative_slope)
        for block in self.blocks:
            x = block(x)
        return x


class DecoderLevel(nn.Module):
    """Projection, upsampling by 2, addition of the skip, and residual blocks."""

    def __init__(self, arch, inputs, width, blocks):
        super().__init__()
        self.project = ConvNorm(arch, inputs, width, 1)
        self.blocks = nn.ModuleList(Block(arch, width) for _ in range(blocks))
        self.mode = "bilinear" if arch.axes == 2 else "trilinear"

    def forward(self, x, skip):
        x = skip + F.interpolate(self.project(x), scale_factor=2, mode=self.mode, align_corners=False)
        for block in self.blocks:
            x = block(x)
        return x


def levels(arch):
    """The encoder levels, the decoder levels and the number of channels after the last decoder level."""
    widths, count = arch.widths, len(arch.widths)
    inputs = (arch.channels,) + tuple(widths[:-1])
    encoder = nn.ModuleList(
        EncoderLevel(arch, inputs[l], widths[l], arch.down_kernel if l else arch.stem_kernel, arch.encoder_blocks[l])
        for l in range(count))
    decoder = nn.ModuleList(
        DecoderLevel(arch, widths[count - 1 - j], widths[count - 2 - j], blocks)
        for j, blocks in enumerate(arch.decoder_blocks))
    return encoder, decoder, widths[count - 1 - len(arch.decoder_blocks)]


class UNet(nn.Module):
    """Logits [batch, 1, (depth,) height, width] of an input [batch, channels, (depth,) height, width]."""

    def __init__(self, arch):
        super().__init__()
        self.arch = arch
        self.encoder, self.decoder, width = levels(arch)
        self.head = (nn.Conv2d if arch.axes == 2 else nn.Conv3d)(width, 1, 1)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Conv3d)):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        if arch.norm == "batch":  # blocks start as identities
            for module in self.modules():
                if isinstance(module, Block):
                    nn.init.zeros_(module.b.norm.weight)

    def stages(self, x):
        """Yields (name, output) of each level in the order of computation. The last name is "logits"."""
        size, skips = x.shape[2:], []
        for l, level in enumerate(self.encoder):
            x = level(x)
            skips.append(x)
            yield f"encoder.{l}", x
        for j, level in enumerate(self.decoder):
            x = level(x, skips[len(skips) - 2 - j])
            yield f"decoder.{j}", x
        x = self.head(x)
        yield "head", x
        mode = "bilinear" if self.arch.axes == 2 else "trilinear"
        yield "logits", F.interpolate(x, size=size, mode=mode, align_corners=False)

    def forward(self, x):
        for _, output in self.stages(x):
            pass
        return output

    def folded(self):
        """The same function without batch norms, as files hold it. Instance norms stay."""
        if self.arch.norm != "batch":
            return copy.deepcopy(self).eval()
        plain = UNet(Architecture(**{**asdict(self.arch), "norm": "none"}))
        ours, theirs = dict(self.named_modules()), dict(plain.named_modules())
        with torch.no_grad():
            for name, module in ours.items():
                if isinstance(module, ConvNorm):
                    weight, bias = module.folded()
                    theirs[name].conv.weight.copy_(weight)
                    theirs[name].conv.bias.copy_(bias)
            plain.head.load_state_dict(self.head.state_dict())
        return plain.eval()

    def unfolded(self, batches):
        """The same function with batch norms again, to continue training from a file (see `unfold`)."""
        assert self.arch.norm == "none"
        return unfold(self, UNet(Architecture(**{**asdict(self.arch), "norm": "batch"})), batches)

    @torch.no_grad()
    def widened(self, arch):
        """The same function in a network with more channels per level.

        New filters are drawn. The weights of existing filters for the new channels are 0.
        """
        wide = UNet(arch)
        old, new = self.state_dict(), wide.state_dict()
        for name, value in new.items():
            if name not in old or value.ndim == 0:
                continue
            inside = tuple(slice(n) for n in old[name].shape)
            if value.ndim > 2:
                value[inside[0]] = 0
            value[inside] = old[name]
        wide.load_state_dict(new)
        return wide


@torch.no_grad()
def unfold(folded, normed, batches):
    """Gives `normed` the function of `folded`, its twin without batch norms, and returns it.

    The statistics of the norms are measured on `batches` of inputs. Each filter is scaled to the length with which it would
    be drawn; the batch norm undoes this scale.
    """
    ours = {name: module for name, module in folded.named_modules() if isinstance(module, ConvNorm)}
    theirs, sums = dict(normed.named_modules()), {name: [] for name in ours}
    hooks = [module.conv.register_forward_hook(
        lambda _, __, output, name=name: sums[name].append(torch.stack([
            output.double().mean((0, *range(2, output.ndim))),
            output.double().square().mean((0, *range(2, output.ndim)))])))
        for name, module in ours.items()]
    for batch in batches:
        folded(batch)
    for hook in hooks:
        hook.remove()
    for name, module in ours.items():
        mean, square = torch.stack(sums[name]).mean(0)
        weight, bias, norm = module.conv.weight, module.conv.bias, theirs[name].norm
        norms = weight.flatten(1).norm(dim=1).clamp(min=1e-6)
        scale = 2 ** 0.5 / norms  # Kaiming: variance 2 / inputs of each filter's weights
        variance = (square - mean.square()).clamp(min=1e-10).float() * scale.square()
        theirs[name].conv.weight.copy_(weight * scale.reshape(-1, *[1] * (weight.ndim - 1)))
        norm.running_mean.copy_((mean.float() - bias) * scale)
        norm.running_var.copy_(variance)
        norm.weight.copy_((variance + norm.eps).sqrt() / scale)
        norm.bias.copy_(mean.float())
    normed.load_state_dict({name: value for name, value in folded.state_dict().items()
                            if name.rsplit(".conv.", 1)[0] not in ours}, strict=False)
    return normed
