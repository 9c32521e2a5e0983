# SPDX-License-Identifier: Apache-2.0
"""Writes the numbers that SAM 2 in Swift is tested against: python -m training.references.golden_sam2

The files in Tests/InferenceTests/Golden/ are safetensors in float32, made by the package sam2 1.1.0 with PyTorch on the CPU.
Needs torch, torchvision, sam2 and safetensors (pip install --no-deps sam2 hydra-core iopath omegaconf portalocker).

    sam2_1.safetensors  a scaled-down SAM 2.1: input 128 x 128, grids 32, 16, 8, 4, windows of 14 and 7 that need padding
    sam2_0.safetensors  the same without the tensors of 2.1

drawn_weights.py draws weights; they are not stored. `factors` in the metadata scales some of them: queries and keys sharper
than that make the tracking chaotic. A few biases are fitted and stored as `weights.<name>`, so that the object score, the
stability and the predicted IoU choose differently from frame to frame. frame() draws the frames with whole numbers.

`stage.*` and `track.*` hold every n-th value, channels last, with n under `strides`. `image.<prompt>.logits` is whole. A track
has `track.<recipe>.<pass>.<frame>.<value>` for conditioned, low_res, memory, score and pointer. `memories` lists what each
frame attended to, read from the rows that the reference gave to its memory attention.

The script prints how far an input changed by 1e-6 moves every value, and the errors of bf16 autocast. An error of a track
under autocast is that of each frame with the memories and pointers of fp32.
"""
import dataclasses
import json
import math

import numpy as np
import torch
from safetensors.torch import save_file

from training.networks import reference_package  # noqa: F401  (makes torchvision importable beside another PyTorch)
from training.paths import INFERENCE_GOLDEN
from training.references import drawn_weights
from training.references.golden_sam import error

from sam2 import sam2_video_predictor
from sam2.modeling.backbones.hieradet import Hiera
from sam2.modeling.backbones.image_encoder import FpnNeck, ImageEncoder
from sam2.modeling.memory_attention import MemoryAttention, MemoryAttentionLayer
from sam2.modeling.memory_encoder import CXBlock, Fuser, MaskDownSampler, MemoryEncoder
from sam2.modeling.position_encoding import PositionEmbeddingSine
from sam2.modeling.sam.transformer import RoPEAttention
from sam2.sam2_image_predictor import SAM2ImagePredictor

KEPT = 1024  # values of each stage, about


@dataclasses.dataclass
class Sizes:
    """The sizes of a network and the question that it gets."""
    size: int = 128  # height and width of the input
    version: str = "2.1"
    trunk: dict = dataclasses.field(default_factory=lambda: dict(
        embed_dim=16, num_heads=1, stages=(1, 2, 3, 2), global_att_blocks=(4,),
        window_pos_embed_bkg_spatial_size=(7, 7), window_spec=(8, 4, 14, 7)))
    channels: int = 64
    memory: int = 16
    hidden: int = 256  # of the memory attention
    frames: int = 12
    key: int = 5

    @property
    def grid(self):
        return self.size // 16

    def scaled(self, values):
        """Coordinates of an input of 128 x 128 in this input."""
        return [value * self.size / 128 for value in values]

    @property
    def box(self):  # XYXY, in pixels of the input
        return self.scaled([30, 26, 88, 80])

    @property
    def second_box(self):  # on frame key + 3
        return self.scaled([36, 20, 90, 70])

    @property
    def points(self):
        return [self.scaled(point) + [label] for point, label in (((60, 52), 1), ((14, 100), 0))]


CONFIGURATION = dict(
    num_maskmem=7, sigmoid_scale_for_mem_enc=20.0, sigmoid_bias_for_mem_enc=-10.0,
    use_mask_input_as_output_without_sam=True, directly_add_no_mem_embed=True, use_high_res_features_in_sam=True,
    multimask_output_in_sam=True, iou_prediction_use_sigmoid=True, use_obj_ptrs_in_encoder=True,
    add_tpos_enc_to_obj_ptrs=False, only_obj_ptrs_in_the_past_for_eval=True, pred_obj_scores=True,
    pred_obj_scores_mlp=True, fixed_no_obj_ptr=True, multimask_output_for_tracking=True,
    use_multimask_token_for_obj_ptr=True, multimask_min_pt_num=0, multimask_max_pt_num=1, use_mlp_for_obj_ptr_proj=True,
    sam_mask_decoder_extra_args=dict(dynamic_multimask_via_stability=True, dynamic_multimask_stability_delta=0.05,
                                     dynamic_multimask_stability_thresh=0.98),
    binarize_mask_from_pts_for_mem_enc=True, fill_hole_area=0)
VERSION_21 = dict(no_obj_embed_spatial=True, add_tpos_enc_to_obj_ptrs=True, proj_tpos_enc_in_obj_ptrs=True,
                  use_signed_tpos_enc_to_obj_ptrs=True)
MEAN, DEVIATION = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


def build(sizes):
    channels, width = sizes.channels, sizes.memory

    def sine(channels):
        return PositionEmbeddingSine(num_pos_feats=channels, normalize=True, scale=None, temperature=10000)

    def rope(**options):
        return RoPEAttention(rope_theta=10000.0, feat_sizes=(sizes.grid,) * 2, embedding_dim=channels, num_heads=1,
                             downsample_rate=1, dropout=0.1, **options)
    layer = MemoryAttentionLayer(
        activation="relu", dim_feedforward=sizes.hidden, dropout=0.1, pos_enc_at_attn=False, d_model=channels,
        pos_enc_at_cross_attn_keys=True, pos_enc_at_cross_attn_queries=False, self_attention=rope(),
        cross_attention=rope(rope_k_repeat=True, kv_in_dim=width))
    neck = FpnNeck(position_encoding=sine(channels), d_model=channels,
                   backbone_channel_list=[sizes.trunk["embed_dim"] * 2 ** i for i in (3, 2, 1, 0)],
                   fpn_top_down_levels=[2, 3], fpn_interp_model="nearest")
    memory = MemoryEncoder(
        out_dim=width, position_encoding=sine(width), in_dim=channels,
        mask_downsampler=MaskDownSampler(embed_dim=channels, kernel_size=3, stride=2, padding=1),
        fuser=Fuser(CXBlock(dim=channels, kernel_size=7, padding=3, layer_scale_init_value=1e-6, use_dwconv=True),
                    num_layers=2))
    return sam2_video_predictor.SAM2VideoPredictor(
        image_encoder=ImageEncoder(scalp=1, trunk=Hiera(**sizes.trunk), neck=neck),
        memory_attention=MemoryAttention(d_model=channels, pos_enc_at_input=True, num_layers=4, layer=layer),
        memory_encoder=memory, image_size=sizes.size,
        **{**CONFIGURATION, **(VERSION_21 if sizes.version == "2.1" else {})}).eval()


def factor(name, shape):
    """What a drawn tensor is multiplied with; see the module's text."""
    fan = math.sqrt(math.prod(shape[1:]))
    if name.endswith("gamma"):
        return 0.2
    if "positional_encoding_gaussian_matrix" in name:
        return fan / 1.5
    if name.endswith("pos_embed_window"):
        return 0.2 * fan
    if name == "maskmem_tpos_enc" or len(shape) == 1 or "mask_downs" in name:
        return 1
    if name.startswith("no_") or name.endswith(("_token.weight", "_tokens.weight", "_embed.weight")) \
            or "point_embeddings" in name:
        return fan / 3
    if name.endswith(("q_proj.weight", "k_proj.weight")):
        return 0.8
    if "neck.convs" in name:
        return 0.2
    if name == "memory_encoder.out_proj.weight":
        return 0.1
    if "output_hypernetworks_mlps" in name and name.endswith("layers.2.weight"):
        return 0.35
    if name.endswith(("pred_obj_score_head.layers.2.weight", "iou_prediction_head.layers.2.weight")):
        return 4
    return 1


def draw(model):
    """Draws every tensor. The result is the shapes and the factors by name."""
    state = model.state_dict()
    factors = {name: float(np.float32(factor(name, list(value.shape)))) for name, value in state.items()}
    drawn = {name: drawn_weights.tensor(name, list(value.shape)) * factors[name] for name, value in state.items()}
    model.load_state_dict(drawn)
    shapes = {name: list(value.shape) for name, value in state.items()}
    return shapes, {name: value for name, value in factors.items() if value != 1}


def frame(index, sizes):
    """A grey frame [size, size] of whole numbers: a bright disc that moves and shrinks, coarse and fine noise."""
    size, scale = sizes.size, sizes.size / 128
    y, x = np.mgrid[0:size, 0:size]
    step = index - sizes.key
    radius = max(26 - 2 * abs(step), 4) * scale
    body = (x - (58 + 2 * step) * scale) ** 2 + (y - (54 - step) * scale) ** 2 < radius ** 2
    coarse = (drawn_weights.bits(f"coarse.{index}", 64) >> np.uint64(58)).astype(int).reshape(8, 8)
    fine = (drawn_weights.bits(f"fine.{index}", size * size) >> np.uint64(59)).astype(int).reshape(size, size)
    return np.where(body, 150, 40) + coarse[y * 8 // size, x * 8 // size] + fine


def frames(sizes):
    grey = np.stack([frame(index, sizes) for index in range(sizes.frames)]).astype(np.float32)
    return (torch.from_numpy(grey)[:, None].repeat(1, 3, 1, 1) / 255 - MEAN) / DEVIATION


def given_mask():
    """A mask prompt [96, 80]: a disc."""
    y, x = np.mgrid[0:96, 0:80]
    return torch.from_numpy((x - 36) ** 2 + (y - 40) ** 2 < 20 ** 2)


class Tap:
    """Notes what the steps of a predictor receive and return."""

    def __init__(self, model, sizes):
        self.model, self.sizes, self.step, self.log = model, sizes, {}, {}
        prepare, track, attend, heads = (model._prepare_memory_conditioned_features, model.track_step,
                                         model.memory_attention.forward, model._forward_sam_heads)

        def noted_heads(*given, **named):
            result = heads(*given, **named)
            self.step.update(iou=result[2], masks=result[0])
            return result

        def noted_prepare(*given, **named):
            result = prepare(*given, **named)
            self.step["conditioned"] = result
            return result

        def noted_attend(*given, **named):
            self.step.update(memory=named["memory"], positions=named["memory_pos"],
                             pointers=named["num_obj_ptr_tokens"])
            return attend(*given, **named)

        def noted_track(*given, **named):
            self.step = {"outputs": named["output_dict"], "reverse": named["track_in_reverse"]}
            result = track(*given, **named)
            self.log[named["frame_idx"]] = self.step
            return result
        model._prepare_memory_conditioned_features, model.track_step = noted_prepare, noted_track
        model.memory_attention.forward, model._forward_sam_heads = noted_attend, noted_heads

    def selection(self, index):
        """The memories [frame, temporal index] and pointers [frame, distance] of a frame's last step."""
        step = self.log[index]
        if "memory" not in step:
            return None
        outputs = {**step["outputs"]["non_cond_frame_outputs"], **step["outputs"]["cond_frame_outputs"]}
        sign, model, grid, width = -1 if step["reverse"] else 1, self.model, self.sizes.grid, self.sizes.memory
        cut = step["memory"].shape[0] - step["pointers"]
        memories, pointers = [], []
        for start in range(0, cut, grid * grid):
            rows = step["memory"][start:start + grid * grid, 0]
            sine = model.memory_encoder.position_encoding(torch.zeros(1, width, grid, grid))[0].flatten(1).T
            time = (step["positions"][start:start + grid * grid, 0] - sine).mean(0)
            (found,) = [f for f, out in outputs.items() if out["maskmem_features"] is not None and torch.equal(
                out["maskmem_features"][0].flatten(1).T.float(), rows.float())]
            memories.append([found, int((model.maskmem_tpos_enc[:, 0, 0] - time).norm(dim=1).argmin())])
        tokens = self.sizes.channels // width
        for start in range(cut, step["memory"].shape[0], tokens):
            pointer = step["memory"][start:start + tokens, 0].reshape(-1)
            same = [f for f, out in outputs.items() if torch.equal(out["obj_ptr"][0], pointer)]
            known = [f for f, _ in pointers]
            # Frames without the object share one pointer: conditioning frames come first, then the nearest ones.
            conditioning = step["outputs"]["cond_frame_outputs"]
            same = sorted((f for f in same if f not in known and (index - f) * sign >= 1),
                          key=lambda f: (f not in conditioning, (index - f) * sign))
            pointers.append([same[0], (index - same[0]) * sign])
        return {"memories": memories, "pointers": pointers}


def fit(model, images, sizes):
    """Fits a few last biases, so that scores change their sign and IoU heads disagree between frames."""
    head, scores = model.sam_mask_decoder.iou_prediction_head.layers[-1], model.sam_mask_decoder.pred_obj_score_head.layers[-1]
    hidden = []
    hook = model.sam_mask_decoder.output_upscaling[4].register_forward_hook(
        lambda module, given, output: hidden.append(output.mean((0, 2, 3))))
    scores.bias.fill_(1000.0)
    tap = Tap(model, sizes)
    found, logits, raw = [], [], {}
    for round in range(2):
        state = start(model, images)
        model.add_new_points_or_box(state, sizes.key, 1, box=np.array(sizes.box, np.float32))
        for passes in (False, True):
            for index, _, _ in model.propagate_in_video(state, reverse=passes):
                step = tap.log[index]
                outputs = state["output_dict_per_obj"][0]
                out = outputs["cond_frame_outputs"].get(index) or outputs["non_cond_frame_outputs"][index]
                raw[index] = float(out["object_score_logits"]) - 1000
                if round == 0 and step["iou"].shape[1] == 3:
                    found.append(step["iou"][0])
                    logits.append(step["masks"][0])
        if round == 0:
            hook.remove()
            iou, mean, masks = torch.stack(found), torch.stack(hidden).mean(0), torch.stack(logits)
            head.bias[1:] -= torch.log(iou / (1 - iou)).mean(0)
            for mask in range(3):
                shift = float((masks[:, mask].mean() + 0.7 * masks[:, mask].std()) / (mean @ mean))
                model.sam_mask_decoder.output_hypernetworks_mlps[mask + 1].layers[-1].bias -= mean * shift
    others = sorted(value for index, value in raw.items() if index != sizes.key)
    if raw[sizes.key] < np.median(others):
        scores.weight.neg_()
        others, raw[sizes.key] = sorted(-value for value in others), -raw[sizes.key]
    few = min(2, max(sum(value < raw[sizes.key] for value in others) - 1, 0))
    scores.bias.fill_(-(others[few - 1] + others[few]) / 2 if few else -(min(others + [raw[sizes.key]]) - 0.5))
    names = [f"sam_mask_decoder.output_hypernetworks_mlps.{mask}.layers.2.bias" for mask in (1, 2, 3)]
    names += ["sam_mask_decoder.iou_prediction_head.layers.2.bias", "sam_mask_decoder.pred_obj_score_head.layers.2.bias",
              "sam_mask_decoder.pred_obj_score_head.layers.2.weight"]
    return {name: model.state_dict()[name].clone() for name in names}


def start(model, images):
    sam2_video_predictor.load_video_frames = lambda video_path, **options: (video_path, *video_path.shape[2:])
    sam2_video_predictor.tqdm = lambda sequence, **options: sequence
    return model.init_state(images)


RECIPES = ["continue", "reset", "two", "point", "mask", "correction"]


def prompt(model, state, recipe, sizes):
    if recipe == "mask":
        return model.add_new_mask(state, sizes.key, 1, given_mask())
    if recipe == "point":
        points = np.array([sizes.points[0][:2]], np.float32)
        return model.add_new_points_or_box(state, sizes.key, 1, points=points, labels=np.array([1], np.int32))
    return model.add_new_points_or_box(state, sizes.key, 1, box=np.array(sizes.box, np.float32))


def track(model, images, recipe, tap, sizes, kept=None):
    """The values of every frame, in the order of the passes, and the selections.

    With `kept`, the values of an earlier track, the memories and pointers of that track replace those of every frame.
    """
    values, memories = {}, {}
    state = start(model, images)

    def keep(name):
        stores = state["output_dict_per_obj"][0]
        for outputs in (stores["cond_frame_outputs"], stores["non_cond_frame_outputs"]):
            for index, out in outputs.items():
                earlier = (kept or {}).get(f"{recipe}.{name}.{index}")
                if earlier is not None:
                    out["maskmem_features"] = earlier["memory"].permute(2, 0, 1)[None].to(torch.bfloat16)
                    out["obj_ptr"] = earlier["pointer"][None]

    def run(name, reverse, first=None, most=None):
        for index, _, _ in model.propagate_in_video(state, first, most, reverse):
            outputs = state["output_dict_per_obj"][0]
            out = outputs["cond_frame_outputs"].get(index) or outputs["non_cond_frame_outputs"][index]
            key = f"{recipe}.{name}.{index}"
            values[key] = {"low_res": out["pred_masks"][0, 0], "score": out["object_score_logits"][0],
                           "pointer": out["obj_ptr"][0].float(), "memory": out["maskmem_features"][0].permute(1, 2, 0).float()}
            if index in tap.log and tap.selection(index):
                values[key]["conditioned"] = tap.log[index]["conditioned"][0].permute(1, 2, 0)
                if kept is None:
                    memories[key] = tap.selection(index)
            keep(name)
    tap.log.clear()
    prompt(model, state, recipe, sizes)
    if recipe == "two":
        model.add_new_points_or_box(state, sizes.key + 3, 1, box=np.array(sizes.second_box, np.float32))
    run("forward", False)
    if recipe == "correction":  # clicks on a tracked frame, which then goes on from there
        points, labels = np.array(sizes.points, np.float32)[:, :2], np.array(sizes.points, np.int32)[:, 2]
        corrected = sizes.key + 2
        model.add_new_points_or_box(state, corrected, 1, points=points, labels=labels)
        key = f"{recipe}.click.{corrected}"
        out = state["temp_output_dict_per_obj"][0]["non_cond_frame_outputs"][corrected]
        values[key] = {"low_res": out["pred_masks"][0, 0], "score": out["object_score_logits"][0],
                       "pointer": out["obj_ptr"][0]}
        if kept is None:
            memories[key] = tap.selection(corrected)
        run("again", False, corrected + 1, 2)
        return values, memories
    if recipe == "reset":
        model.reset_state(state)
        prompt(model, state, recipe, sizes)
    if recipe in ("continue", "reset", "two"):
        run("reverse", True)
    return values, memories


def prompts(sizes):
    """The questions to the image predictor."""
    return {
        "box": {"box": sizes.box, "multimask": False},
        "point": {"points": sizes.points[:1], "multimask": True},
        "points": {"points": sizes.points, "multimask": False},
        "box_point": {"box": sizes.box, "points": sizes.points[:1], "multimask": False},
        "mask": {"mask": True, "multimask": True},
    }


def mask_prompt(sizes):
    return drawn_weights.noise("mask", [1, 1, 4 * sizes.grid, 4 * sizes.grid], 10)


def decode(model, features, question, sizes):
    """Logits and predicted IoU of the image predictor's arithmetic; SAM2ImagePredictor fixes its sizes for 1024."""
    predictor = SAM2ImagePredictor(model)
    predictor._bb_feat_sizes = [(sizes.grid * 4 // 2 ** level,) * 2 for level in range(3)]
    predictor._features, predictor._is_image_set, predictor._orig_hw = features, True, [(sizes.size,) * 2]
    points = torch.tensor([question["points"]]).float() if "points" in question else None
    coordinates, labels = (points[..., :2], points[..., 2].int()) if points is not None else (None, None)
    box = torch.tensor([question["box"]]).float() if "box" in question else None
    mask = mask_prompt(sizes) if "mask" in question else None
    _, iou, logits = predictor._predict(coordinates, labels, box, mask, question["multimask"], return_logits=True)
    return logits[0], iou[0]


def features_of(model, image):
    stages = []
    hook = model.image_encoder.trunk.register_forward_hook(lambda module, given, output: stages.extend(output))
    out = model.forward_image(image)
    hook.remove()
    s0, s1, vision = out["backbone_fpn"]
    embedding = vision + model.no_mem_embed.reshape(1, -1, 1, 1)
    return stages, (s0, s1, vision), {"image_embed": embedding, "high_res_feats": [s0, s1]}


def thinned(name, value, strides, kept=KEPT):
    flat = value.float().reshape(-1)
    kind = name.split(".")[-1] if name.startswith("track") else name
    strides[kind] = max(1, int(flat.numel() // kept)) | 1
    return flat[::strides[kind]].contiguous().clone()


def autocast_errors(values, rounded):
    """The error of autocast over the frames that have the object in both, and the frames whose score changed its sign.

    Frames without the object hold -1024 everywhere, which would hide the others.
    """
    both = [key for key in values if float(values[key]["score"]) > 0 and float(rounded[key]["score"]) > 0]
    flipped = [key for key in values if (float(values[key]["score"]) > 0) != (float(rounded[key]["score"]) > 0)]
    return error(torch.stack([rounded[key]["low_res"].float() for key in both]),
                 torch.stack([values[key]["low_res"] for key in both])), flipped


@torch.inference_mode()
def write(name, sizes, recipes):
    model = build(sizes)
    shapes, factors = draw(model)
    images = frames(sizes)
    fitted = fit(model, images, sizes)
    tap = Tap(model, sizes)
    tensors = {f"weights.{key}": value for key, value in fitted.items()}
    for key in fitted:
        factors.pop(key, None)
    strides, errors, moved = {}, {}, {}
    noise = torch.from_numpy(np.random.default_rng(7).normal(0, 1e-6, tuple(images.shape))).float()
    key = slice(sizes.key, sizes.key + 1)
    stages, levels, features = features_of(model, images[key])
    with torch.autocast("cpu", torch.bfloat16):
        rounded = features_of(model, images[key])
    shaken = features_of(model, images[key] + noise[key])
    names = [f"stage.trunk.{i}" for i in range(4)] + ["stage.s0", "stage.s1", "stage.vision"]
    for key, value, bf16, other in zip(names, stages + list(levels), rounded[0] + list(rounded[1]),
                                       shaken[0] + list(shaken[1])):
        tensors[key] = thinned(key, value.permute(0, 2, 3, 1), strides)
        errors[key], moved[key] = error(bf16, value), error(other, value)
    for key, question in prompts(sizes).items():
        logits, iou = decode(model, features, question, sizes)
        tensors[f"image.{key}.logits"], tensors[f"image.{key}.iou"] = logits.clone(), iou.clone()
        with torch.autocast("cpu", torch.bfloat16):
            bf16, _ = decode(model, rounded[2], question, sizes)
        errors[f"image.{key}"] = error(bf16, logits)
        moved[f"image.{key}"] = error(decode(model, shaken[2], question, sizes)[0], logits)
    memories, scores, flipped = {}, {}, []
    for recipe in recipes:
        values, found = track(model, images, recipe, tap, sizes)
        memories.update(found)
        shaken, _ = track(model, images + noise, recipe, tap, sizes)
        with torch.autocast("cpu", torch.bfloat16):
            bf16, _ = track(model, images, recipe, tap, sizes, kept=values)
        for key, frame_values in values.items():
            for kind, value in frame_values.items():
                # Memories and pointers are whole, because the test of bf16 puts them into the tracker.
                whole = kind in ("memory", "pointer")
                tensors[f"track.{key}.{kind}"] = thinned(f"track.{key}.{kind}", value, strides, math.inf if whole else 256)
                if kind == "memory":
                    tensors[f"track.{key}.{kind}"] = tensors[f"track.{key}.{kind}"].to(torch.bfloat16)
                worst = moved.setdefault(f"track.{recipe}.{kind}", 0)
                moved[f"track.{recipe}.{kind}"] = max(worst, error(shaken[key][kind], value))
            scores[key] = round(float(frame_values["score"]), 3)
        errors[f"track.{recipe}"], changed = autocast_errors(values, bf16)
        flipped += changed
    facts = {"shapes": shapes, "factors": factors, "strides": strides, "prompts": prompts(sizes), "memories": memories,
             "bf16": errors, "size": sizes.size, "frames": sizes.frames, "key": sizes.key, "box": sizes.box,
             "secondBox": sizes.second_box, "points": sizes.points, "recipes": recipes}
    save_file({key: value.contiguous() for key, value in tensors.items()}, INFERENCE_GOLDEN / f"{name}.safetensors",
              {"kontur": json.dumps(facts, sort_keys=True)})
    print(name, "moved by an input changed by 1e-6", {key: f"{value:.1e}" for key, value in moved.items()})
    print(name, "bf16", {key: round(value, 4) for key, value in errors.items()}, "score changed its sign in", flipped)
    print(name, "scores", scores)


def main():
    torch.set_num_threads(1)
    write("sam2_1", Sizes(), RECIPES)
    write("sam2_0", Sizes(version="2.0"), ["reset"])


if __name__ == "__main__":
    main()
