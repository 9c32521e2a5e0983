# SPDX-License-Identifier: Apache-2.0
"""The network of medsam-compact: Segment Anything at 256 x 256 with a convolutional image encoder.

The prompt encoder and the mask decoder are those of segment-anything (Kirillov 2023), with its names and sizes. The image
encoder is the residual U-Net of residual_unet.py down to 8 x 8 and up again to 32 x 32, followed by a neck to 256 channels:

    image_encoder.encoder.l, decoder.j    as in residual_unet.py; decoder.1 ends on the grid of 32 x 32
    image_encoder.fine                    conv 2x2 stride 2 of encoder.1's 64 x 64 output, for edges that stride 8 loses
    image_encoder.neck.0, .1              conv 1x1 of decoder.1's output; LayerNorm2d of the sum with `fine`: the embedding

    x [batch, 3, 256, 256] -> embedding [batch, 256, 32, 32]; logits [batch, masks, 128, 128]
"""
import json
from dataclasses import asdict

import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import nn

from training.networks.residual_unet import Architecture, ConvNorm, levels
from training.networks.reference_package import segment_anything

modeling = segment_anything.modeling
SIZE, GRID, WIDTH = 256, 32, 256
FINE = 1  # the encoder level whose output also enters the neck

MEDSAM_COMPACT = Architecture(
    axes=2, channels=3, widths=(32, 64, 128, 192, 256), encoder_blocks=(0, 1, 2, 2, 2), decoder_blocks=(1, 1))


class ChannelNorm(modeling.common.LayerNorm2d):
    """The LayerNorm2d of segment-anything, computed in one pass over channels-last memory."""

    def forward(self, x):
        x = F.layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


class ConvolutionalEncoder(nn.Module):
    """The image encoder: [batch, 3, 256, 256] to [batch, 256, 32, 32]."""

    def __init__(self, arch=MEDSAM_COMPACT):
        super().__init__()
        self.arch = arch
        self.encoder, self.decoder, width = levels(arch)
        self.fine = nn.Conv2d(arch.widths[FINE], WIDTH, 2, 2, bias=False)
        self.neck = nn.Sequential(nn.Conv2d(width, WIDTH, 1, bias=False), ChannelNorm(WIDTH))

    def forward(self, x):
        skips = []
        for level in self.encoder:
            x = level(x)
            skips.append(x)
        for j, level in enumerate(self.decoder):
            x = level(x, skips[len(skips) - 2 - j])
        return self.neck[1](self.neck[0](x) + self.fine(skips[FINE]))


class Promptable(nn.Module):
    """A Sam whose decoder takes one set of prompts per image of a batch."""

    def __init__(self, arch=MEDSAM_COMPACT):
        super().__init__()
        self.image_encoder = ConvolutionalEncoder(arch)
        self.prompt_encoder = modeling.PromptEncoder(
            embed_dim=WIDTH, image_embedding_size=(GRID, GRID), input_image_size=(SIZE, SIZE), mask_in_chans=16)
        self.mask_decoder = modeling.MaskDecoder(
            num_multimask_outputs=3, transformer_dim=WIDTH,
            transformer=modeling.TwoWayTransformer(depth=2, embedding_dim=WIDTH, mlp_dim=2048, num_heads=8),
            iou_head_depth=3, iou_head_hidden_dim=256)
        for module in self.modules():
            if isinstance(module, modeling.common.LayerNorm2d):
                module.__class__ = ChannelNorm

    def resize(self, size):
        """Sets the side of the input squares, a multiple of 32. Smaller squares make the first part of a training cheaper."""
        self.prompt_encoder.input_image_size = (size, size)
        self.prompt_encoder.image_embedding_size = (size * GRID // SIZE,) * 2

    def decode(self, embedding, points=None, boxes=None, masks=None):
        """Logits [batch, 4, 128, 128] and predicted IoU [batch, 4] of the single mask and the three others.

        `points` is ([batch, n, 2], [batch, n]) and `boxes` is [batch, 4] XYXY, in pixels of the input. `masks` is
        [batch, 1, 128, 128].
        """
        sparse, dense = self.prompt_encoder(points=points, boxes=boxes, masks=masks)
        decoder, count = self.mask_decoder, len(embedding)
        own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
        tokens = torch.cat([own[None].expand(count, -1, -1), sparse], dim=1)
        place = self.prompt_encoder.get_dense_pe().expand(count, -1, -1, -1)
        answers, image = decoder.transformer(embedding + dense, place, tokens)
        weights = torch.stack([network(answers[:, 1 + k])
                               for k, network in enumerate(decoder.output_hypernetworks_mlps)], dim=1)
        return self.masks(image, weights), decoder.iou_prediction_head(answers[:, 0])

    def masks(self, image, weights):
        """Logits of the masks: output upscaling of `image` [batch, places, channels], times `weights` [batch, masks, channels].

        A transposed convolution of kernel and stride 2 is one product per place. The norm and GELU work on single pixels.
        The pixels therefore stay in the order of their places until the end.
        """
        first, norm, gelu, second, _ = self.mask_decoder.output_upscaling
        count, side = len(image), int(image.shape[1] ** 0.5)

        def enlarged(x, layer):
            return F.linear(x, layer.weight.permute(2, 3, 1, 0).flatten(0, 2), layer.bias.repeat(4)).unflatten(-1, (4, -1))
        x = gelu(F.layer_norm(enlarged(image, first), norm.weight.shape, norm.weight, norm.bias, norm.eps))
        x = gelu(enlarged(x, second)).flatten(1, 3)
        logits = (x @ weights.transpose(1, 2)).reshape(count, side, side, 2, 2, 2, 2, -1)
        return logits.permute(0, 7, 1, 3, 5, 2, 4, 6).reshape(count, -1, 4 * side, 4 * side)

    def folded(self):
        """The same function without batch norms, for files."""
        plain = Promptable(Architecture(**{**asdict(self.image_encoder.arch), "norm": "none"}))
        ours = dict(self.named_modules())
        state = {name: value for name, value in self.state_dict().items() if name in plain.state_dict()}
        for name, module in ours.items():
            if isinstance(module, ConvNorm):
                state[f"{name}.conv.weight"], state[f"{name}.conv.bias"] = module.folded()
        plain.load_state_dict(state)
        return plain.eval()


def load(path):
    """The network of a shipped file in float32, without batch norms, and the file's metadata."""
    with safe_open(path, "pt") as file:
        facts = json.loads(file.metadata()["kontur"])
        state = {key: file.get_tensor(key).float() for key in file.keys()}
    network = Promptable(Architecture(**{**asdict(MEDSAM_COMPACT), "norm": "none"})).eval()
    network.load_state_dict(state)
    return network, facts
