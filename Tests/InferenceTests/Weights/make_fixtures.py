# SPDX-License-Identifier: Apache-2.0
"""Writes Fixtures/: checkpoints of scaled-down networks with drawn weights, as PyTorch and transformers save them.

    python Tests/InferenceTests/Weights/make_fixtures.py

Needs torch, segment-anything, transformers and safetensors. Of each network `*_expected.safetensors` holds what the store
must make of every one of its checkpoints, in single precision.
"""
import collections
import pathlib
import sys
from functools import partial

import numpy
import torch
from safetensors.torch import save_file

FOLDER = pathlib.Path(__file__).parent / "Fixtures"
sys.path.insert(0, str(pathlib.Path(__file__).parents[3]))
import training.networks.reference_package  # noqa: E402, F401
from segment_anything.modeling import (  # noqa: E402
    ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer)
from training.networks.tiny_vit import TinyViT  # noqa: E402

WIDTH, GRID, PATCH, WINDOW, CHANNELS, HIDDEN = 8, 4, 2, 2, 8, 8


def prompt_and_mask(channels, hidden):
    prompt = PromptEncoder(
        embed_dim=channels, image_embedding_size=(GRID, GRID), input_image_size=(GRID * PATCH,) * 2, mask_in_chans=4)
    mask = MaskDecoder(
        num_multimask_outputs=3, transformer_dim=channels, iou_head_depth=3, iou_head_hidden_dim=hidden,
        transformer=TwoWayTransformer(depth=2, embedding_dim=channels, mlp_dim=hidden, num_heads=2))
    return prompt, mask


def sam():
    encoder = ImageEncoderViT(
        img_size=GRID * PATCH, patch_size=PATCH, embed_dim=WIDTH, depth=2, num_heads=2, out_chans=CHANNELS,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6), use_rel_pos=True, window_size=WINDOW,
        global_attn_indexes=(1,))
    return Sam(encoder, *prompt_and_mask(CHANNELS, HIDDEN))


class LiteMedSAM(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.image_encoder = TinyViT(widths=(4, 8, 8, 8), depths=(1, 1, 1, 1), heads=(1, 2, 2, 2), windows=(7, 3, 4, 3))
        self.image_encoder.neck[0] = torch.nn.Conv2d(8, CHANNELS, 1, bias=False)
        self.image_encoder.neck[1] = type(self.image_encoder.neck[1])(CHANNELS)
        self.image_encoder.neck[2] = torch.nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False)
        self.image_encoder.neck[3] = type(self.image_encoder.neck[3])(CHANNELS)
        self.prompt_encoder, self.mask_decoder = prompt_and_mask(CHANNELS, HIDDEN)


def draw(module):
    generator = torch.Generator().manual_seed(20260101)
    with torch.no_grad():
        for tensor in module.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.randn(tensor.shape, generator=generator))
    return module


def mapped(state, change):
    return collections.OrderedDict((name, change(tensor)) for name, tensor in state.items())


def trained(model):
    """As training scripts save it: on several processors, with the optimizer, and numbers of numpy."""
    wrapped = collections.OrderedDict(("module." + name, tensor) for name, tensor in model.state_dict().items())
    wrapped._metadata = model.state_dict()._metadata
    few = list(model.mask_decoder.iou_prediction_head.parameters())
    optimizer = torch.optim.AdamW(few, lr=1e-4)
    sum(parameter.sum() for parameter in few).backward()
    state = wrapped.copy()
    optimizer.step()  # after the copy: the state dict shares the parameters, so the drawn ones go back
    for name, parameter in model.named_parameters():
        parameter.data.copy_(DRAWN[name])
    return {"model": state, "optimizer": optimizer.state_dict(), "epoch": 7, "loss": numpy.float64(0.25)}


def strided(state):
    """Every tensor a view of one storage; matrices transposed in it."""
    flat = torch.zeros(3 + sum(tensor.numel() for tensor in state.values()))
    views, place = collections.OrderedDict(), 3
    for name, tensor in state.items():
        axes = list(range(tensor.dim()))[::-1]
        turned = tensor.permute(axes).contiguous()
        view = flat[place:place + tensor.numel()].view(turned.shape)
        view.copy_(turned)
        views[name] = view.permute(axes)
        place += tensor.numel()
    return views


def transformers_sam():
    from transformers import SamConfig, SamMaskDecoderConfig, SamModel, SamPromptEncoderConfig, SamVisionConfig
    from transformers.models.sam import modeling_sam  # noqa: F401
    size = GRID * PATCH
    config = SamConfig(
        vision_config=SamVisionConfig(
            hidden_size=WIDTH, output_channels=CHANNELS, num_hidden_layers=2, num_attention_heads=2, image_size=size,
            patch_size=PATCH, window_size=WINDOW, global_attn_indexes=[1], mlp_dim=4 * WIDTH, num_pos_feats=CHANNELS // 2),
        prompt_encoder_config=SamPromptEncoderConfig(
            hidden_size=CHANNELS, image_size=size, patch_size=PATCH, mask_input_channels=4),
        mask_decoder_config=SamMaskDecoderConfig(
            hidden_size=CHANNELS, mlp_dim=HIDDEN, num_attention_heads=2, iou_head_hidden_dim=HIDDEN))
    return SamModel(config)


# src/transformers/models/sam/convert_sam_to_hf.py, in its order.
RENAMED = [
    ("iou_prediction_head.layers.0", "iou_prediction_head.proj_in"),
    ("iou_prediction_head.layers.1", "iou_prediction_head.layers.0"),
    ("iou_prediction_head.layers.2", "iou_prediction_head.proj_out"),
    ("mask_decoder.output_upscaling.0", "mask_decoder.upscale_conv1"),
    ("mask_decoder.output_upscaling.1", "mask_decoder.upscale_layer_norm"),
    ("mask_decoder.output_upscaling.3", "mask_decoder.upscale_conv2"),
    ("mask_downscaling.0", "mask_embed.conv1"), ("mask_downscaling.1", "mask_embed.layer_norm1"),
    ("mask_downscaling.3", "mask_embed.conv2"), ("mask_downscaling.4", "mask_embed.layer_norm2"),
    ("mask_downscaling.6", "mask_embed.conv3"), ("point_embeddings", "point_embed"),
    ("pe_layer.positional_encoding_gaussian_matrix", "shared_embedding.positional_embedding"),
    ("image_encoder", "vision_encoder"), ("neck.0", "neck.conv1"), ("neck.1", "neck.layer_norm1"),
    ("neck.2", "neck.conv2"), ("neck.3", "neck.layer_norm2"), ("patch_embed.proj", "patch_embed.projection"),
    (".norm", ".layer_norm"), ("blocks", "layers"),
]


def renamed(state):
    found = {}
    for name, tensor in state.items():
        for old, new in RENAMED:
            name = name.replace(old, new)
        if ".output_hypernetworks_mlps." in name:
            for old, new in (("layers.0", "proj_in"), ("layers.1", "layers.0"), ("layers.2", "proj_out")):
                if old in name:
                    name = name.replace(old, new)
                    break
        found[name] = tensor
    found["shared_image_embedding.positional_embedding"] = found["prompt_encoder.shared_embedding.positional_embedding"]
    return found


FOLDER.mkdir(exist_ok=True)
model = draw(sam())
DRAWN = {name: tensor.clone() for name, tensor in model.state_dict().items()}
state = model.state_dict()
save_file(dict(DRAWN), FOLDER / "sam_expected.safetensors")
torch.save(trained(model), FOLDER / "sam_trained.pth")
assert all(torch.equal(tensor, DRAWN[name]) for name, tensor in model.state_dict().items())
torch.save(state, FOLDER / "sam_flat.pth")
torch.save(strided(state), FOLDER / "sam_strided.pth")
torch.save(mapped(state, lambda tensor: tensor.double()), FOLDER / "sam_double.pth")
torch.save(mapped(state, lambda tensor: tensor.half()), FOLDER / "sam_half_protocol4.pth", pickle_protocol=4)
torch.save(mapped(state, lambda tensor: torch.nn.Parameter(tensor.bfloat16())), FOLDER / "sam_bfloat16_parameters.pth")
hugging = transformers_sam()
print(hugging.load_state_dict(renamed(state), strict=True))
save_file({name: tensor.clone() for name, tensor in hugging.state_dict().items()}, FOLDER / "sam_transformers.safetensors")
lite = draw(LiteMedSAM())
torch.save(lite.state_dict(), FOLDER / "lite_medsam.pth")
save_file({name: tensor.clone() for name, tensor in lite.state_dict().items() if tensor.is_floating_point()},
          FOLDER / "lite_expected.safetensors")
for path in sorted(FOLDER.iterdir()):
    print(path.name, path.stat().st_size)
