# SPDX-License-Identifier: Apache-2.0
"""LiteMedSAM's image encoder, as a reference for tests.

It is TinyViT (Wu 2022) as changed by `tiny_vit_sam.py` of bowang-lab/MedSAM, branch LiteMedSAM: neither the patch embedding
nor the last layer downsamples. It was written from that description with its tensor names, and only computes: batch norms
(eps 1e-5) are not trained.
"""
import torch
import torch.nn.functional as F
from torch import nn


class ConvNorm(nn.Sequential):
    def __init__(self, inputs, outputs, kernel=1, stride=1, groups=1):
        super().__init__()
        self.c = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs)


class PatchEmbed(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.seq = nn.Sequential(ConvNorm(3, width // 2), nn.GELU(), ConvNorm(width // 2, width))

    def forward(self, x):
        return self.seq(x)


class MBConv(nn.Module):
    def __init__(self, width, expansion=4):
        super().__init__()
        hidden = width * expansion
        self.conv1 = ConvNorm(width, hidden)
        self.conv2 = ConvNorm(hidden, hidden, 3, groups=hidden)
        self.conv3 = ConvNorm(hidden, width)

    def forward(self, x):
        return F.gelu(x + self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(x))))))


class PatchMerging(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv1 = ConvNorm(inputs, outputs)
        self.conv2 = ConvNorm(outputs, outputs, 3, 1 if outputs in (320, 448, 576) else 2, outputs)
        self.conv3 = ConvNorm(outputs, outputs)

    def forward(self, x):
        return self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(x)))))


class Attention(nn.Module):
    """Attention in windows [n, tokens, width]. The bias depends on (|dy|, |dx|), numbered in order of appearance."""

    def __init__(self, width, heads, window):
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.attention_biases = nn.Parameter(torch.zeros(heads, window * window))
        places = [(y, x) for y in range(window) for x in range(window)]
        # Seen from the first token, the distances appear in the order of their numbers.
        rows = [[abs(a[0] - b[0]) * window + abs(a[1] - b[1]) for b in places] for a in places]
        self.register_buffer("index", torch.tensor(rows), persistent=False)

    def forward(self, x):
        n, tokens, width = x.shape
        size = width // self.heads
        qkv = self.qkv(self.norm(x)).view(n, tokens, self.heads, 3, size).permute(3, 0, 2, 1, 4)
        scores = qkv[0] @ qkv[1].transpose(-2, -1) * size ** -0.5 + self.attention_biases[:, self.index]
        return self.proj((scores.softmax(-1) @ qkv[2]).transpose(1, 2).reshape(n, tokens, width))


class Mlp(nn.Module):
    def __init__(self, width, ratio=4):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, width * ratio)
        self.fc2 = nn.Linear(width * ratio, width)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(self.norm(x))))


class Block(nn.Module):
    def __init__(self, width, heads, window):
        super().__init__()
        self.window = window
        self.attn = Attention(width, heads, window)
        self.local_conv = ConvNorm(width, width, 3, groups=width)
        self.mlp = Mlp(width)

    def forward(self, x):
        batch, channels, height, width = x.shape
        w = self.window
        rows = x.permute(0, 2, 3, 1)
        padded = F.pad(rows, (0, 0, 0, -width % w, 0, -height % w))
        high, wide = padded.shape[1] // w, padded.shape[2] // w
        windows = padded.view(batch, high, w, wide, w, channels).transpose(2, 3).reshape(-1, w * w, channels)
        attended = self.attn(windows).view(batch, high, wide, w, w, channels).transpose(2, 3)
        attended = attended.reshape(batch, high * w, wide * w, channels)[:, :height, :width]
        x = self.local_conv((rows + attended).permute(0, 3, 1, 2))
        return x + self.mlp(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Layer(nn.Module):
    def __init__(self, blocks, merging):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        if merging is not None:
            self.downsample = merging

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.downsample(x) if hasattr(self, "downsample") else x


class LayerNorm2d(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x):
        centred = x - x.mean(1, keepdim=True)
        x = centred / torch.sqrt(centred.pow(2).mean(1, keepdim=True) + 1e-6)
        return self.weight[:, None, None] * x + self.bias[:, None, None]


class TinyViT(nn.Module):
    """[batch, 3, size, size] to [batch, 256, size / 4, size / 4]. The defaults are those of LiteMedSAM."""

    def __init__(self, widths=(64, 128, 160, 320), depths=(2, 2, 6, 2), heads=(2, 4, 5, 10), windows=(7, 7, 14, 7),
                 size=256):
        super().__init__()
        self.img_size = size
        self.patch_embed = PatchEmbed(widths[0])
        self.layers = nn.ModuleList()
        for i, width in enumerate(widths):
            if i == 0:
                blocks = [MBConv(width) for _ in range(depths[0])]
            else:
                blocks = [Block(width, heads[i], windows[i]) for _ in range(depths[i])]
            self.layers.append(Layer(blocks, PatchMerging(width, widths[i + 1]) if i + 1 < len(widths) else None))
        self.neck = nn.Sequential(
            nn.Conv2d(widths[-1], 256, 1, bias=False), LayerNorm2d(256),
            nn.Conv2d(256, 256, 3, padding=1, bias=False), LayerNorm2d(256))

    def forward(self, x):
        x = self.patch_embed(x)
        for layer in self.layers:
            x = layer(x)
        return self.neck(x)
