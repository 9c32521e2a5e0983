# SPDX-License-Identifier: Apache-2.0
"""The network of medsam2-compact: SAM 2 (Ravi 2024) at 256 x 256 with a convolutional trunk.

Everything behind the trunk follows the package `sam2` 1.1.0 with the settings of SAM 2.1, with its tensor names. Only sizes
differ: memory attention has LAYERS layers instead of four, the memory encoder one fuser layer instead of two, and the MLPs
of memory attention and mask decoder have HIDDEN units instead of 2048. The trunk is the residual U-Net of residual_unet.py
down to 8 x 8 and up again to 32 x 32, without norms. Four of its outputs take the place of Hiera's stages:

    level 0   encoder.1    64 x 64, 64 channels      high-resolution features s0 (32 channels)
    level 1   decoder.1    32 x 32, 128 channels     high-resolution features s1 (64 channels)
    level 2   decoder.0    16 x 16, 192 channels     vision feature (256 channels), plus level 3 upsampled
    level 3   encoder.4    8 x 8, 256 channels

Shapes: a frame is [batch, 3, 256, 256]; its vision feature is [batch, 256 places, 256 channels], places row by row;
low-resolution logits are [batch, masks, 64, 64]; a memory is [batch, 256 places, 64 channels]; an object pointer is
[batch, 256]. Points are (x, y) in pixels of the frame, with the labels 0 (outside), 1 (inside), 2 and 3 (corners of a box).
"""
import json
import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import nn

from training.networks.residual_unet import Architecture, levels

SIZE, GRID, LOW = 256, 16, 64  # sides of the frame, the vision feature and the low-resolution logits
WIDTH, MEMORY_WIDTH, HIDDEN, LAYERS = 256, 64, 512, 2
MEMORIES = 7  # the conditioning frames' temporal code, and those of six tracked frames
POINTERS = 16  # frames whose pointers are attended to, at most
ABSENT = -1024.0  # logits of a frame without the object

TRUNK = Architecture(
    axes=2, channels=3, widths=(32, 64, 128, 192, 256), encoder_blocks=(0, 1, 2, 2, 1), decoder_blocks=(1, 1), norm="none")


class Features(NamedTuple):
    """The image encoder's output for a batch of frames."""
    s0: torch.Tensor  # [batch, 32, 64, 64]
    s1: torch.Tensor  # [batch, 64, 32, 32]
    vision: torch.Tensor  # [batch, 256, 256]


class Answer(NamedTuple):
    """The mask decoder's output. Mask 0 is the single mask; masks 1 to 3 are the alternatives."""
    logits: torch.Tensor  # [batch, 4, 64, 64]
    iou: torch.Tensor  # [batch, 4], 0...1
    tokens: torch.Tensor  # [batch, 4, 256], the mask tokens
    score: torch.Tensor  # [batch], the object score; the object is present above 0


class Memory(NamedTuple):
    """The record of a frame that later frames attend to."""
    features: torch.Tensor  # [batch, 256, 64], rounded to bf16
    pointer: torch.Tensor  # [batch, 256]


class ChannelNorm(nn.Module):
    """Layer norm over the channels of [batch, channels, rows, columns] (LayerNorm2d in SAM)."""

    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x):
        x = F.layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias, 1e-6)
        return x.permute(0, 3, 1, 2)


class MLP(nn.Module):
    """Linear layers `layers.n` with ReLU between them."""

    def __init__(self, *widths):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(widths, widths[1:]))

    def forward(self, x):
        for k, layer in enumerate(self.layers):
            x = layer(x) if k == len(self.layers) - 1 else F.relu(layer(x))
        return x


class Attention(nn.Module):
    """Multi-head attention of queries [batch, n, width] over keys and values [batch, m, source]."""

    def __init__(self, heads, inner=WIDTH, source=WIDTH):
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj = nn.Linear(WIDTH, inner), nn.Linear(source, inner)
        self.v_proj, self.out_proj = nn.Linear(source, inner), nn.Linear(inner, WIDTH)

    def forward(self, q, k, v, turn_q=None, turn_k=None):
        q, k, v = self.q_proj(q), self.k_proj(k), self.v_proj(v)
        if turn_q is not None:
            q, k = rotated(q, turn_q), rotated(k, turn_k)
        q, k, v = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2).flatten(0, 1) for x in (q, k, v))
        shares = torch.bmm(q * q.shape[-1] ** -0.5, k.transpose(1, 2)).softmax(dim=-1)  # its gradient is the fastest on a CPU
        return self.out_proj(torch.bmm(shares, v).unflatten(0, (-1, self.heads)).transpose(1, 2).flatten(2))


def rotary(grid=GRID, width=WIDTH):
    """Cosines and sines [2, places, width / 2]: the first half of the pairs turns with the column, the second with the row."""
    frequencies = 10000 ** (-torch.arange(width // 4) * 4 / width)
    place = torch.arange(grid * grid)
    angles = torch.cat([(place % grid)[:, None] * frequencies, (place // grid)[:, None] * frequencies], dim=1)
    return torch.stack([angles.cos(), angles.sin()])


def rotated(x, turn):
    """x [batch, n, width] with neighbouring channels turned by `turn` [2, m, width / 2]; rows after the m-th stay."""
    cos, sin = turn.to(x.dtype)
    even, odd = x[:, :len(cos), 0::2], x[:, :len(cos), 1::2]
    turned = torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(2)
    return torch.cat([turned, x[:, len(cos):]], dim=1) if x.shape[1] > len(cos) else turned


def sine(grid, width):
    """SAM 2's sine encoding [places, width]: rows first, then columns; sines on even channels, cosines on odd ones."""
    channel = torch.arange(width // 2)
    position = torch.arange(1, grid + 1) / (grid + 1e-6) * 2 * math.pi
    angle = position[:, None] / 10000 ** (2 * (channel // 2) / (width // 2))
    code = torch.where(channel % 2 == 0, angle.sin(), angle.cos())
    rows, columns = code[:, None].expand(grid, grid, -1), code[None].expand(grid, grid, -1)
    return torch.cat([rows, columns], dim=2).flatten(0, 1)


class Trunk(nn.Module):
    """The levels of the residual U-Net: outputs at strides 4, 8, 16 and 32."""

    def __init__(self, arch):
        super().__init__()
        self.encoder, self.decoder, _ = levels(arch)

    def forward(self, x):
        skips = []
        for level in self.encoder:
            x = level(x)
            skips.append(x)
        ups = []
        for j, level in enumerate(self.decoder):
            x = level(x, skips[len(skips) - 2 - j])
            ups.append(x)
        return skips[1], ups[1], ups[0], skips[-1]


class Neck(nn.Module):
    """SAM 2's FpnNeck: convs.0 belongs to the coarsest level."""

    def __init__(self, widths):
        super().__init__()
        self.convs = nn.ModuleList(nn.Sequential() for _ in widths)
        for conv, width in zip(self.convs, reversed(widths)):
            conv.add_module("conv", nn.Conv2d(width, WIDTH, 1))

    def vision(self, outputs):
        """Level 2 [batch, 256, 16, 16]. Levels 0 and 1 have lateral convolutions only."""
        return self.convs[1].conv(outputs[2]) + F.interpolate(self.convs[0].conv(outputs[3]), scale_factor=2, mode="nearest")


def both(first, second, x):
    """second(first(x)) of two 1 x 1 convolutions, as one convolution."""
    outer, inner = second.weight.flatten(1), first.weight.flatten(1)
    return F.conv2d(x, (outer @ inner)[:, :, None, None], outer @ first.bias + second.bias)


class ImageEncoder(nn.Module):
    """Trunk and neck, whose outputs `Tracker.project` combines."""

    def __init__(self, arch):
        super().__init__()
        self.trunk = Trunk(arch)
        w = arch.widths
        self.neck = Neck((w[1], w[-3], w[-2], w[-1]))


class MemoryAttentionLayer(nn.Module):
    """Self-attention, attention to the memories, and an MLP; each with a norm in front."""

    def __init__(self):
        super().__init__()
        self.self_attn = Attention(heads=1)
        self.cross_attn_image = Attention(heads=1, source=MEMORY_WIDTH)
        self.linear1, self.linear2 = nn.Linear(WIDTH, HIDDEN), nn.Linear(HIDDEN, WIDTH)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(WIDTH) for _ in range(3))

    def forward(self, x, keys, values, turn, turn_keys):
        y = self.norm1(x)
        x = x + self.self_attn(y, y, y, turn, turn)
        x = x + self.cross_attn_image(self.norm2(x), keys, values, turn, turn_keys)
        return x + self.linear2(F.relu(self.linear1(self.norm3(x))))


class MemoryAttention(nn.Module):
    """The vision feature, conditioned on the memories."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(MemoryAttentionLayer() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, x, keys, values, turn, turn_keys):
        for layer in self.layers:
            x = layer(x, keys, values, turn, turn_keys)
        return self.norm(x)


class MaskDownsampler(nn.Module):
    """[batch, 1, 256, 256] to [batch, 256, 16, 16]."""

    def __init__(self):
        super().__init__()
        layers, width = [], 1
        for _ in range(4):
            layers += [nn.Conv2d(width, 4 * width, 3, 2, 1), ChannelNorm(4 * width), nn.GELU()]
            width *= 4
        self.encoder = nn.Sequential(*layers, nn.Conv2d(width, WIDTH, 1))

    def forward(self, x):
        return self.encoder(x)


class FuserLayer(nn.Module):
    """A ConvNeXt block (Liu 2022)."""

    def __init__(self):
        super().__init__()
        self.dwconv = nn.Conv2d(WIDTH, WIDTH, 7, padding=3, groups=WIDTH)
        self.norm = ChannelNorm(WIDTH)
        self.pwconv1, self.pwconv2 = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)
        self.gamma = nn.Parameter(torch.full((WIDTH,), 1e-1))

    def forward(self, x):
        y = self.norm(self.dwconv(x)).permute(0, 2, 3, 1)
        y = self.gamma * self.pwconv2(F.gelu(self.pwconv1(y)))
        return x + y.permute(0, 3, 1, 2)


class MemoryEncoder(nn.Module):
    """Fuses the vision feature [batch, 256, 16, 16] and a mask [batch, 1, 256, 256] to [batch, 64, 16, 16]."""

    def __init__(self):
        super().__init__()
        self.mask_downsampler = MaskDownsampler()
        self.pix_feat_proj = nn.Conv2d(WIDTH, WIDTH, 1)
        self.fuser = nn.Module()
        self.fuser.layers = nn.ModuleList([FuserLayer()])
        self.out_proj = nn.Conv2d(WIDTH, MEMORY_WIDTH, 1)

    def forward(self, vision, mask):
        x = self.pix_feat_proj(vision) + self.mask_downsampler(mask)
        for layer in self.fuser.layers:
            x = layer(x)
        return self.out_proj(x)


class PromptEncoder(nn.Module):
    """SAM 2's prompt encoder. A box is two points; a token that is not a point follows the points."""

    def __init__(self):
        super().__init__()
        self.pe_layer = nn.Module()
        self.pe_layer.register_buffer("positional_encoding_gaussian_matrix", torch.randn(2, WIDTH // 2))
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, WIDTH) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, WIDTH)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, 4, 2, 2), ChannelNorm(4), nn.GELU(), nn.Conv2d(4, 16, 2, 2), ChannelNorm(16), nn.GELU(),
            nn.Conv2d(16, WIDTH, 1))
        self.no_mask_embed = nn.Embedding(1, WIDTH)

    def fourier(self, places):
        """The code [..., 256] of places (x, y) as shares 0...1 of the frame."""
        angle = 2 * math.pi * ((2 * places - 1) @ self.pe_layer.positional_encoding_gaussian_matrix)
        return torch.cat([angle.sin(), angle.cos()], dim=-1)

    def grid(self):
        """The code [places, 256] of the vision feature's places."""
        centre = (torch.arange(GRID, device=self.no_mask_embed.weight.device) + 0.5) / GRID
        return self.fourier(torch.stack([centre.repeat(GRID), centre.repeat_interleave(GRID)], dim=1))

    def tokens(self, points, labels):
        """Prompt tokens [batch, n + 1, 256] of points [batch, n, 2] with labels [batch, n]."""
        kinds = torch.cat([embedding.weight for embedding in self.point_embeddings])
        found = self.fourier((points + 0.5) / SIZE) + kinds[labels]
        return torch.cat([found, self.not_a_point_embed.weight.expand(len(points), 1, -1)], dim=1)

    def no_tokens(self, count):
        """The prompt tokens [count, 2, 256] of a tracked frame."""
        return self.not_a_point_embed.weight.expand(count, 2, -1)

    def dense(self, logits, count):
        """The code that is added to the image embedding, [count or 1, places, 256]; `logits` [count, 1, 64, 64] or None."""
        if logits is None:
            return self.no_mask_embed.weight[None]
        return self.mask_downscaling(logits).flatten(2).transpose(1, 2)


class TwoWayLayer(nn.Module):
    """One layer of SAM's two-way transformer."""

    def __init__(self, first):
        super().__init__()
        self.first = first
        self.self_attn = Attention(heads=8)
        self.cross_attn_token_to_image, self.cross_attn_image_to_token = (Attention(8, WIDTH // 2) for _ in range(2))
        self.mlp = MLP(WIDTH, HIDDEN, WIDTH)
        self.norm1, self.norm2, self.norm3, self.norm4 = (nn.LayerNorm(WIDTH) for _ in range(4))

    def forward(self, q, k, q0, place):
        if self.first:
            q = self.norm1(self.self_attn(q, q, q))
        else:
            q = self.norm1(q + self.self_attn(q + q0, q + q0, q))
        q = self.norm2(q + self.cross_attn_token_to_image(q + q0, k + place, k))
        q = self.norm3(q + self.mlp(q))
        return q, self.norm4(k + self.cross_attn_image_to_token(k + place, q + q0, q))


class TwoWayTransformer(nn.Module):
    """Tokens [batch, n, 256] and image [batch, places, 256] attend to each other."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(TwoWayLayer(first=k == 0) for k in range(2))
        self.final_attn_token_to_image = Attention(8, WIDTH // 2)
        self.norm_final_attn = nn.LayerNorm(WIDTH)

    def forward(self, tokens, image, place):
        q, k = tokens, image
        for layer in self.layers:
            q, k = layer(q, k, tokens, place)
        return self.norm_final_attn(q + self.final_attn_token_to_image(q + tokens, k + place, k)), k


class MaskDecoder(nn.Module):
    """SAM 2's mask decoder with object score and high-resolution features."""

    def __init__(self):
        super().__init__()
        self.transformer = TwoWayTransformer()
        self.obj_score_token, self.iou_token = nn.Embedding(1, WIDTH), nn.Embedding(1, WIDTH)
        self.mask_tokens = nn.Embedding(4, WIDTH)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(WIDTH, 64, 2, 2), ChannelNorm(64), nn.GELU(), nn.ConvTranspose2d(64, 32, 2, 2), nn.GELU())
        self.conv_s0, self.conv_s1 = nn.Conv2d(WIDTH, 32, 1), nn.Conv2d(WIDTH, 64, 1)
        self.output_hypernetworks_mlps = nn.ModuleList(MLP(WIDTH, WIDTH, WIDTH, 32) for _ in range(4))
        self.iou_prediction_head, self.pred_obj_score_head = MLP(WIDTH, WIDTH, WIDTH, 4), MLP(WIDTH, WIDTH, WIDTH, 1)

    def forward(self, image, features, place, prompts):
        """The `Answer` for an image embedding [batch, places, 256] and prompt tokens [batch, n, 256]."""
        own = torch.cat([self.obj_score_token.weight, self.iou_token.weight, self.mask_tokens.weight])
        q, k = self.transformer(torch.cat([own.expand(len(image), -1, -1), prompts], dim=1), image, place)
        up, norm, gelu, again, _ = self.output_upscaling
        x = gelu(norm(up(k.transpose(1, 2).unflatten(2, (GRID, GRID))) + features.s1))
        x = gelu(again(x) + features.s0)
        weights = torch.stack([mlp(q[:, 2 + k]) for k, mlp in enumerate(self.output_hypernetworks_mlps)], dim=1)
        logits = (weights @ x.flatten(2)).unflatten(2, (LOW, LOW))
        return Answer(logits.float(), self.iou_prediction_head(q[:, 1]).sigmoid().float(), q[:, 2:6],
                      self.pred_obj_score_head(q[:, 0])[:, 0].float())


class Tracker(nn.Module):
    """The whole network. `condition`, `decode` and `remember` are the steps of one frame."""

    def __init__(self, arch=TRUNK):
        super().__init__()
        self.image_encoder = ImageEncoder(arch)
        self.memory_attention, self.memory_encoder = MemoryAttention(), MemoryEncoder()
        self.sam_prompt_encoder, self.sam_mask_decoder = PromptEncoder(), MaskDecoder()
        self.maskmem_tpos_enc = nn.Parameter(0.02 * torch.randn(MEMORIES, 1, 1, MEMORY_WIDTH))
        self.no_mem_embed = nn.Parameter(0.02 * torch.randn(1, 1, WIDTH))
        self.no_mem_pos_enc = nn.Parameter(torch.zeros(1, 1, WIDTH), requires_grad=False)  # unused, as in SAM 2
        self.no_obj_ptr = nn.Parameter(0.02 * torch.randn(1, WIDTH))
        self.no_obj_embed_spatial = nn.Parameter(0.02 * torch.randn(1, MEMORY_WIDTH))
        self.mask_downsample = nn.Conv2d(1, 1, 4, 4).requires_grad_(False)  # for mask prompts: the mean of 4 x 4 pixels
        nn.init.constant_(self.mask_downsample.weight, 1 / 16)
        nn.init.zeros_(self.mask_downsample.bias)
        self.obj_ptr_proj = MLP(WIDTH, WIDTH, WIDTH, WIDTH)
        self.obj_ptr_tpos_proj = nn.Linear(WIDTH, MEMORY_WIDTH)
        self.register_buffer("turn", rotary(), persistent=False)
        self.register_buffer("vision_place", sine(GRID, WIDTH), persistent=False)
        self.register_buffer("memory_place", sine(GRID, MEMORY_WIDTH), persistent=False)

    def encode(self, frames):
        """The `Features` of normalised frames [batch, 3, 256, 256]."""
        return self.project(self.image_encoder.trunk(frames))

    def project(self, outputs):
        """The `Features` of the trunk's outputs."""
        neck, decoder = self.image_encoder.neck, self.sam_mask_decoder
        vision = neck.vision(outputs).float().flatten(2).transpose(1, 2)
        return Features(both(neck.convs[3].conv, decoder.conv_s0, outputs[0]),
                        both(neck.convs[2].conv, decoder.conv_s1, outputs[1]), vision)

    def pointer_place(self, distances, frames):
        """The temporal codes [pointers, 64] of pointers that are `distances` frames away, in a video of `frames` frames."""
        device = self.no_obj_ptr.device
        channel = torch.arange(WIDTH // 2, device=device)
        share = torch.arange(max(distances) + 1, device=device) / (min(frames, POINTERS) - 1)
        angle = share[:, None] / 10000 ** (2 * (channel // 2) / (WIDTH // 2))
        every = self.obj_ptr_tpos_proj(torch.cat([angle.sin(), angle.cos()], dim=1))
        return torch.stack([every[distance] for distance in distances])  # an index tensor would wait for the device

    def condition(self, vision, memories, pointers, frames=POINTERS):
        """The image embedding [batch, places, 256] of a tracked frame.

        `memories` holds (temporal code, Memory): code 6 for a conditioning frame, d - 1 for the tracked frame d frames
        away. `pointers` holds (distance in frames, pointer). `frames` is the length of the video.
        """
        spatial = torch.cat([memory.features for _, memory in memories], dim=1)
        codes = torch.cat([self.memory_place + self.maskmem_tpos_enc[code, 0] for code, _ in memories])
        keys, values = spatial + codes, spatial
        if pointers:
            parts = torch.cat([pointer.unflatten(1, (-1, MEMORY_WIDTH)) for _, pointer in pointers], dim=1)
            place = self.pointer_place([distance for distance, _ in pointers], frames)
            place = place.repeat_interleave(WIDTH // MEMORY_WIDTH, dim=0)
            keys, values = torch.cat([keys, parts + place], dim=1), torch.cat([values, parts], dim=1)
        x = vision + 0.1 * self.vision_place
        return self.memory_attention(x, keys, values, self.turn, self.turn.repeat(1, len(memories), 1))

    def decode(self, embedding, features, points=None, labels=None, logits=None):
        """The `Answer` for an image embedding, with points [batch, n, 2] and labels [batch, n] or without a prompt.

        `logits` [batch, 1, 64, 64] are those of an earlier answer for the same frame.
        """
        encoder = self.sam_prompt_encoder
        prompts = encoder.no_tokens(len(embedding)) if points is None else encoder.tokens(points, labels)
        image = embedding + encoder.dense(logits, len(embedding))
        return self.sam_mask_decoder(image, features, encoder.grid(), prompts)

    def pointer(self, token, present):
        """The object pointer [batch, 256] of a mask token [batch, 256]. `present` is a Boolean tensor [batch]."""
        return torch.where(present[:, None], self.obj_ptr_proj(token).float(), self.no_obj_ptr)

    def remember(self, vision, logits, token, present, prompted):
        """The `Memory` of a frame with the chosen low-resolution logits [batch, 64, 64] and their mask token.

        The mask of a prompted frame enters as 0 or 1, that of a tracked frame as its probability.
        """
        logits = torch.where(present[:, None, None], logits, ABSENT)
        mask = F.interpolate(logits[:, None], size=(SIZE, SIZE), mode="bilinear", align_corners=False)
        mask = (mask > 0).float() if prompted else mask.sigmoid()
        image = vision.transpose(1, 2).unflatten(2, (GRID, GRID))
        found = self.memory_encoder(image, 20 * mask - 10).float().flatten(2).transpose(1, 2)
        found = torch.where(present[:, None, None], found, found + self.no_obj_embed_spatial)
        return Memory(found.bfloat16().float(), self.pointer(token, present))


def stability(logits):
    """Share of the pixels above -0.05 that are above 0.05, of low-resolution logits [batch, 64, 64]."""
    high, low = (logits > 0.05).sum((1, 2)), (logits > -0.05).sum((1, 2))
    return torch.where(low > 0, high / low.clamp(min=1), 1.0)


def choose(answer, several):
    """The chosen logits [batch, 64, 64], predicted IoU [batch] and mask token [batch, 256] of an `Answer`.

    With `several`, the choice is the alternative with the highest predicted IoU. Otherwise it is the single mask, or
    the best alternative if the single mask is unstable; the token then is that of the single mask.
    """
    every = torch.arange(len(answer.iou), device=answer.iou.device)
    best = 1 + answer.iou[:, 1:].argmax(dim=1)
    if several:
        return answer.logits[every, best], answer.iou[every, best], answer.tokens[every, best]
    index = torch.where(stability(answer.logits[:, 0]) >= 0.98, 0, best)
    return answer.logits[every, index], answer.iou[every, index], answer.tokens[:, 0]


def load(path):
    """The network of a file that exporting/export_tracker.py wrote, in float32, and the file's metadata."""
    with safe_open(path, "pt") as file:
        facts = json.loads(file.metadata()["kontur"])
        state = {key: file.get_tensor(key).float() for key in file.keys()}
    network = Tracker().eval()
    network.load_state_dict(state)
    return network, facts
