# SPDX-License-Identifier: Apache-2.0
"""The network of medsam2-compact beside the package sam2, and the sequences and tracks of its training."""
from contextlib import nullcontext
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from PIL import Image

from training.data import tracked_sequences
from training.data.tracked_pack import LOSSLESS, packed, unpacked
from training.fitting import fit_score, train_tracker
from training.networks import tracker
from training.networks.tracker import HIDDEN, LAYERS, SIZE, Tracker, choose
from training.recipes import medsam2_compact

FRAMES = 20


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    drawn = Tracker().eval()
    with torch.no_grad():
        for name, parameter in drawn.named_parameters():
            if parameter.ndim == 1 and "norm" not in name:
                parameter.normal_(0, 0.1)
        drawn.no_obj_ptr.normal_(0, 0.5)
    return drawn


def reference():
    """SAM 2.1 of the package sam2 in the sizes of the tracker."""
    from sam2.modeling.backbones.image_encoder import FpnNeck
    from sam2.modeling.backbones.image_encoder import ImageEncoder
    from sam2.modeling.memory_attention import MemoryAttention, MemoryAttentionLayer
    from sam2.modeling.memory_encoder import CXBlock, Fuser, MaskDownSampler, MemoryEncoder
    from sam2.modeling.position_encoding import PositionEmbeddingSine
    from sam2.modeling.sam2_base import SAM2Base
    from sam2.modeling.sam.transformer import RoPEAttention

    def sine(width):
        return PositionEmbeddingSine(num_pos_feats=width, normalize=True, scale=None, temperature=10000)

    def rope(**options):
        return RoPEAttention(rope_theta=10000.0, feat_sizes=[16, 16], embedding_dim=256, num_heads=1, downsample_rate=1,
                             dropout=0.0, **options)

    trunk = tracker.Trunk(tracker.TRUNK)
    trunk.channel_list = [256, 192, 128, 64]
    neck = FpnNeck(position_encoding=sine(256), d_model=256, backbone_channel_list=trunk.channel_list,
                   fpn_top_down_levels=[2, 3], fpn_interp_model="nearest")
    layer = MemoryAttentionLayer(
        activation="relu", dim_feedforward=HIDDEN, dropout=0.0, pos_enc_at_attn=False, self_attention=rope(), d_model=256,
        pos_enc_at_cross_attn_keys=True, pos_enc_at_cross_attn_queries=False,
        cross_attention=rope(rope_k_repeat=True, kv_in_dim=64))
    encoder = MemoryEncoder(
        out_dim=64, position_encoding=sine(64), mask_downsampler=MaskDownSampler(kernel_size=3, stride=2, padding=1),
        fuser=Fuser(CXBlock(dim=256, kernel_size=7, padding=3, layer_scale_init_value=1e-6, use_dwconv=True), num_layers=1))
    made = SAM2Base(
        ImageEncoder(trunk=trunk, neck=neck, scalp=1),
        MemoryAttention(d_model=256, pos_enc_at_input=True, layer=layer, num_layers=LAYERS), encoder,
        num_maskmem=7, image_size=SIZE, sigmoid_scale_for_mem_enc=20.0, sigmoid_bias_for_mem_enc=-10.0,
        binarize_mask_from_pts_for_mem_enc=True, use_mask_input_as_output_without_sam=True, directly_add_no_mem_embed=True,
        no_obj_embed_spatial=True, use_high_res_features_in_sam=True, multimask_output_in_sam=True,
        iou_prediction_use_sigmoid=True, use_obj_ptrs_in_encoder=True, add_tpos_enc_to_obj_ptrs=True,
        proj_tpos_enc_in_obj_ptrs=True, use_signed_tpos_enc_to_obj_ptrs=True, only_obj_ptrs_in_the_past_for_eval=True,
        pred_obj_scores=True, pred_obj_scores_mlp=True, fixed_no_obj_ptr=True, multimask_output_for_tracking=True,
        use_multimask_token_for_obj_ptr=True, multimask_min_pt_num=0, multimask_max_pt_num=1,
        use_mlp_for_obj_ptr_proj=True,
        sam_mask_decoder_extra_args={"dynamic_multimask_via_stability": True, "dynamic_multimask_stability_delta": 0.05,
                                     "dynamic_multimask_stability_thresh": 0.98})
    for layer in made.sam_mask_decoder.transformer.layers:
        layer.mlp.layers = torch.nn.ModuleList([torch.nn.Linear(256, HIDDEN), torch.nn.Linear(HIDDEN, 256)])
    return made.eval()


def error(found, expected):
    return float((found - expected).norm() / expected.norm())


@pytest.mark.skipif(find_spec("sam2") is None, reason="needs requirements-reference.txt")
@torch.no_grad()
@pytest.mark.parametrize("shift", [3.0, -3.0])
def test_a_track_is_that_of_sam2(network, shift):
    """A box on frame 1, tracked forwards and backwards; with a negative shift the object is absent everywhere."""
    network.sam_mask_decoder.pred_obj_score_head.layers[2].bias.fill_(shift)
    theirs = reference()
    theirs.load_state_dict(network.state_dict())
    frames = torch.randn(4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    corners = torch.tensor([[[60.0, 80.0], [190.0, 170.0]]])
    ours = [tracker.Features(*(part[k:k + 1] for part in network.encode(frames))) for k in range(len(frames))]
    for step, order in ((1, (1, 2, 3)), (-1, (1, 0))):
        outputs = {"cond_frame_outputs": {}, "non_cond_frame_outputs": {}}
        conditioning, others = {}, {}
        for index in order:
            _, vision, places, sizes = theirs._prepare_backbone_features(theirs.forward_image(frames[index:index + 1]))
            first = index == 1
            points = {"point_coords": corners, "point_labels": torch.tensor([[2, 3]])} if first else None
            expected = theirs.track_step(index, first, vision, places, sizes, points, None, outputs, FRAMES, step < 0)
            expected["maskmem_features"] = expected["maskmem_features"].bfloat16().float()
            outputs["cond_frame_outputs" if first else "non_cond_frame_outputs"][index] = expected
            assert error(ours[index].vision, vision[-1].transpose(0, 1)) < 1e-5
            if first:
                box = corners.flatten().numpy()
                logits, score, _, memory = medsam2_compact.prompted(network, ours[index], box, (SIZE, SIZE))
                conditioning[index] = memory
            else:
                logits, score, _, memory = medsam2_compact.tracked(
                    network, ours[index], *medsam2_compact.bank(index, step, conditioning, others, FRAMES), FRAMES)
                others[index] = memory
            present = score > 0
            assert present == (shift > 0) and abs(score - float(expected["object_score_logits"])) < 1e-4
            if present:
                assert error(logits, expected["pred_masks"][0, 0]) < 1e-4
            assert error(memory.pointer, expected["obj_ptr"]) < 1e-4
            assert error(memory.features, expected["maskmem_features"].flatten(2).transpose(1, 2)) < 2e-3


@torch.no_grad()
def test_frames_of_a_batch_are_tracked_apart(network):
    frames = torch.randn(2, 3, SIZE, SIZE)
    points, labels = torch.tensor([[[20.0, 30.0], [90.0, 99.0]], [[70.0, 80.0], [200.0, 190.0]]]), torch.tensor([[2, 3]] * 2)

    def run(chosen):
        features = network.encode(frames[chosen])
        answer = network.decode(features.vision + network.no_mem_embed[0], features, points[chosen], labels[chosen])
        logits, _, token = choose(answer, several=False)
        memory = network.remember(features.vision, logits, token, answer.score > 0, prompted=True)
        embedding = network.condition(features.vision, [(6, memory)], [(1, memory.pointer)])
        return network.decode(embedding, features).logits
    together = run([0, 1])
    assert all(error(together[k:k + 1], run([k])) < 1e-3 for k in range(2))


def test_a_track_back_begins_where_the_structure_was_seen_last():
    present = torch.tensor([[1, 1], [1, 1], [0, 1], [0, 1]], dtype=torch.bool)
    assert train_tracker.back(present, 4).T.tolist() == [[1, 0, 1, 2], [3, 2, 1, 0]]


def ball(radius=18, slices=40, rows=60, columns=80):
    """A bright ball in a dark volume: image and mask."""
    z, y, x = np.mgrid[:slices, :rows, :columns]
    mask = (z - slices // 2) ** 2 + (y - rows // 2) ** 2 + (x - columns // 2) ** 2 < radius ** 2
    return (50 + 150 * mask).astype(np.uint8), mask


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    """A training on two packs with three volumes, one of them for validation, and four frames."""
    image, mask = ball()
    frames = np.repeat(image[18:22, :, :60, None], 3, axis=3)
    folder = tmp_path_factory.mktemp("packs")
    for k, part in enumerate(("training", "validation")):
        arrays = {f"volume/ball{k}/{part}/{key}": value for key, value in packed(image, mask, LOSSLESS).items()}
        images = np.stack([np.asarray(Image.fromarray(frame).resize((SIZE, SIZE))) for frame in frames])
        truths = images[..., 0] > 100
        arrays |= {f"frames/{key}": value for key, value in packed(images, truths, LOSSLESS).items()}
        np.savez(folder / f"{k}.npz", **arrays)
    return tracked_sequences.Training([folder / "0.npz", folder / "1.npz"])


def test_a_lossless_pack_returns_its_volume():
    image, mask = ball()
    images, masks = unpacked(packed(image, mask, LOSSLESS), "L")
    assert np.array_equal(images, image) and np.array_equal(masks, mask)


def test_validation_volumes_are_not_trained_on(training):
    assert [volume.name for volume in training.volumes] == ["ball0"]
    assert [name for name, *_ in training.validation] == ["ball1"]


@pytest.mark.parametrize("leaves", [False, True])
def test_frames_of_a_sequence_share_their_augmentation(training, leaves):
    rng = np.random.default_rng(1)
    torch.manual_seed(1)
    frames, truth = training.batch(12, 6, rng, leaves, shown=0 if leaves else 3)
    assert frames.shape == (6, 12, 3, SIZE, SIZE) and truth.shape == (6, 12, SIZE, SIZE)
    assert frames.isfinite().all() and set(truth.unique().tolist()) <= {0.0, 1.0}
    assert (truth[0].sum((1, 2)) >= tracked_sequences.LEAST_TARGET).all()
    if not leaves:
        assert (truth[3].sum((1, 2)) > 0).float().mean() > 0.8
    for k in range(12):
        bright = (frames[:, k, 0] * truth[:, k]).sum() / truth[:, k].sum()
        assert bright > (frames[:, k, 0] * (1 - truth[:, k])).sum() / (1 - truth[:, k]).sum()


def test_boxes_of_masks():
    mask = torch.zeros(2, 8, 16, dtype=torch.bool)
    mask[0, 2:5, 7:9] = True
    assert train_tracker.edges(mask).tolist() == [[7, 2, 9, 5], [4, 2, 12, 6]]


def test_the_first_correcting_point_lies_in_a_wrong_pixel():
    torch.manual_seed(0)
    truth = torch.zeros(2, SIZE, SIZE)
    truth[:, 40:120, 40:120] = 1
    logits = torch.full((2, 64, 64), -8.0)
    logits[:, 10:30, 10:20] = 8  # the left half of the truth is found
    points, labels = train_tracker.correcting_points(truth, logits, 3)
    assert points.shape == (2, 3, 2) and labels.shape == (2, 3)
    assert (labels[:, 0] == 1).all() and (points[:, 0, 0] > 75).all() and (points[:, 0] < 120).all()
    for k in range(2):
        for (x, y), label in zip(points[k].int().tolist(), labels[k].tolist()):
            assert label == truth[k, y, x]


@pytest.mark.parametrize("chosen", [train_tracker.Plan(4, leaves=True), train_tracker.Plan(4, second=2, corrected={1: 1, 3: 2}),
                                    train_tracker.Plan(5, warm=3)])
def test_a_step_gives_every_part_gradients(training, network, chosen):
    network.zero_grad()
    torch.manual_seed(2)
    value = train_tracker.step_loss(network, training, 2, chosen, np.random.default_rng(0), True, nullcontext)
    value.backward()
    assert value.isfinite()
    silent = {name for name, parameter in network.named_parameters() if parameter.requires_grad and parameter.grad is None}
    assert not {name for name in silent if name.startswith(("image_encoder", "memory_attention", "sam_mask_decoder"))}
    network.zero_grad()


def test_the_validation_tracks_from_the_middle(training, network):
    found = train_tracker.validate(network, training.validation, nullcontext)
    assert 0 <= found["dice"] <= 1 and 0 <= found["beyond"] <= 40 and 0 <= found["missed"] <= 40


@torch.no_grad()
@pytest.mark.parametrize("bias", [-99.0, 99.0])
def test_a_direction_ends_after_slices_without_the_structure(network, bias):
    """The tracking reaches every prompted slice in any case."""
    layer = network.sam_mask_decoder.pred_obj_score_head.layers[2]
    before = layer.bias.clone()
    layer.bias.fill_(bias)
    features = medsam2_compact.embed(network, np.zeros((12, 20, 30), np.uint8) + np.arange(30, dtype=np.uint8))
    box = np.array([5, 5, 20, 15], np.float32)
    one = medsam2_compact.track(network, features, (20, 30), {4: box})
    two = medsam2_compact.track(network, features, (20, 30), {4: box, 10: box})
    layer.bias.copy_(before)
    assert np.isfinite(one.scores).sum() == (7 if bias < 0 else 12)
    assert np.isfinite(two.scores).sum() == (11 if bias < 0 else 12)


def test_components_of_prompted_slices_are_kept():
    mask = np.zeros((5, 4, 4), bool)
    mask[0, :2, :2] = mask[1, 0, 0] = mask[3, 2:, 2:] = mask[3, 0, 0] = True
    unsure = np.zeros(5)
    assert (medsam2_compact.kept(mask, [3], unsure) == mask * (np.arange(5) == 3)[:, None, None]).all()
    assert (medsam2_compact.kept(mask, [1, 3], unsure) == mask).all()
    for slices in ((), [2]):
        assert (medsam2_compact.kept(mask, slices, unsure) == mask * (np.arange(5) < 2)[:, None, None]).all()


def test_a_sure_component_behind_a_gap_continues_the_kept_one():
    mask = np.zeros((8, 4, 4), bool)
    mask[:2, :2, :2] = mask[3:6, :2, :1] = mask[3, 3, 3] = True
    scores = np.array([4, 4, -1, 4, 1, 0.5, -1, -1])
    expected = mask.copy()
    expected[3, 3, 3] = expected[5] = False  # it has no place in common with slice 1; the last slice is not likely
    assert (medsam2_compact.kept(mask, (), scores) == expected).all()
    for changed in (np.minimum(scores, 3), np.where(np.arange(8) == 3, -1, scores)):
        assert not medsam2_compact.kept(mask, (), changed)[2:].any()
    mask[2, 3, 0] = True  # a slice with something else is no gap
    assert not medsam2_compact.kept(mask, (), scores)[2:].any()


def test_the_score_is_fitted_to_whole_tracks(network):
    image, mask = (tracked_sequences.squares(np.uint8(255) * part if part.dtype == bool else part, "cpu") for part in ball(6, 14))
    x, y = fit_score.tokens(network, [(image, mask > 127)], np.random.default_rng(0))
    assert x.shape == (14 + 1 + 11, 256)  # a prompted slice counts for both directions; 11 slices show the ball
    assert 0 < y.mean() < 1
    head = train_tracker.tracker.MLP(256, 256, 256, 1)
    before, after = fit_score.fit(head, x, y)
    assert after < before


def test_a_lowered_score_marks_fewer_slices(network, monkeypatch):
    monkeypatch.setattr(fit_score, "SHIFTS", (-1000.0, 1000.0))
    image, mask = ball(6, 14)
    kept, lowered = fit_score.shifted_rows(network, [("ball", image, mask)])
    assert lowered["dice"] < kept["dice"] and lowered["beyond"] == 0


def test_the_largest_shift_that_costs_little_is_chosen():
    def rows(*scores):
        return [{"shift": shift, "dice": dice} for shift, dice in zip(fit_score.SHIFTS, scores)]
    assert fit_score.chosen_shift(rows(0.900, 0.9015, 0.901, 0.8996, 0.89)) == 1.5
    assert fit_score.chosen_shift(rows(0.9, 0.89)) == 0
