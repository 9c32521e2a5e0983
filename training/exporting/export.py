# SPDX-License-Identifier: Apache-2.0
"""Turns a checkpoint into the file that ships and its model card: python -m training.exporting.export polyp-compact

The export takes the averaged weights, folds batch norms, rounds to fp16 and scores the rounded network on the held-out
cases. It writes Sources/CWeights/files/<name>-<first 8 hex digits of the file's SHA-256>.safetensors, removes the older
file of that name, and writes training/cards/<name>.md. The file's metadata has one key, `kontur`: JSON with everything
that a runtime needs besides the tensors. `--early` marks weights of an unfinished run. `--no-scores` skips the scoring.
"""
import argparse
import hashlib
import json
from pathlib import Path

import torch
from safetensors.torch import save

from training.data import polyp_frames
from training.exporting import cards, embed
from training.fitting import fit_confidence, fit_presence
from training.fitting.tasks import POLYP, TASKS
from training.networks.residual_unet import UNet
from training.networks.shipped import load
from training.paths import CARDS, WEIGHTS, add_folders
from training.recipes import confidence
from training.references import reference_answers
from training.scores import dice, summary


def rounded(network):
    """The folded network with every tensor rounded to fp16. It computes in float32."""
    network = network.folded()
    network.load_state_dict({key: value.half().float() for key, value in network.state_dict().items()})
    return network


def score(task, network, data, fit):
    """Summaries of the held-out Dice (one view, mean of the views), and one row per case with measures and confidence."""
    rows = []
    for name, image, truth in task.data.held_out(data):
        answer = task.recipe.answer(network, image)
        rows.append({"case": name, "plain": dice(answer.plain, truth), "augmented": dice(answer.mask, truth),
                     **answer.measures,
                     "confidence": confidence.of(answer, fit)})
    return {key: {k: round(v, 4) for k, v in summary([row[key] for row in rows]).items()}
            for key in ("plain", "augmented")}, rows


def write_shipped(name, body):
    """Writes the bytes of a weight file, removes the older file of the name and updates the embedded table.

    Returns the path and the SHA-256.
    """
    digest = hashlib.sha256(body).hexdigest()
    WEIGHTS.mkdir(parents=True, exist_ok=True)
    for old in WEIGHTS.glob(f"{name}-*.safetensors"):
        old.unlink()
    path = WEIGHTS / f"{name}-{digest[:8]}.safetensors"
    path.write_bytes(body)
    embed.write()
    return path, digest


def body(task, network, scores, version, training, fit):
    """The bytes of the shipped file."""
    facts = {"name": task.name, "version": version, "kind": f"unet{network.arch.axes}d",
             "architecture": network.arch.as_dict(), "input": task.recipe.NORMALISATION, "data": task.data.DATA_SETS,
             "scores": scores, "training": training, "licence": "weights: research use, see the model card"}
    if fit:
        facts["confidence"] = fit
    tensors = {key: value.half().contiguous() for key, value in network.state_dict().items()}
    return save(tensors, {"kontur": json.dumps(facts, sort_keys=True)})


def trained(task, runs):
    """The rounded network of a checkpoint, and the facts of its training: those of the last stage, and all stages."""
    kept = torch.load(runs / task.name / "checkpoint.pt", weights_only=True)
    network = UNet(task.recipe.ARCHITECTURE).eval()
    network.load_state_dict(kept["average"])
    last = {"samples": kept["step"] * task.batch, "seed": kept["seed"], "core_seconds": round(kept["seconds"])}
    if kept.get("leave_out") is not None:
        last["leave_out"] = kept["leave_out"]
    return rounded(network), {**last, "stages": [*kept["stages"], last]} if kept.get("stages") else last


def export(task, data, runs, early=False, with_scores=True, trunk=None):
    """Fits what belongs to the finished trunk, then writes the shipped file, the numbers for the tests and the card."""
    if trunk:
        network, facts = load(trunk)
        if hasattr(network, "presence"):
            del network.presence
        training = facts["training"]
    else:
        network, training = trained(task, runs)
    presence, logits = fit_presence.attach(network, data, runs) if task is POLYP else (None, [])
    unseen = polyp_frames.unseen(data, runs, training.get("leave_out"), logits) if task is POLYP else []
    fit, sure = fit_confidence.fitted(task, network, data, unseen) if with_scores else (None, None)
    scores, rows = score(task, network, data, fit) if with_scores else ({}, [])
    if presence:
        scores["presence"] = presence
    if sure:
        scores["confidence"] = sure
    version = task.recipe.VERSION + ("-early" if early else "")
    path, digest = write_shipped(task.name, body(task, network, scores, version, training, fit))
    reference_answers.write(task, network, digest, data, fit)
    print(path.name, path.stat().st_size, json.dumps(scores))
    if with_scores:
        (runs / task.name).mkdir(parents=True, exist_ok=True)
        (runs / task.name / "scores.json").write_text(json.dumps(rows, indent=1))
        cards.write(CARDS / f"{task.name}.md", task, path, digest, scores, rows, training, fit)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", choices=TASKS)
    add_folders(parser)
    parser.add_argument("--trunk", type=Path, help="take the network of this shipped file instead of the checkpoint's")
    parser.add_argument("--early", action="store_true", help="mark the weights as those of an unfinished run")
    parser.add_argument("--no-scores", action="store_true", help="do not score the held-out cases")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    export(TASKS[arguments.name], arguments.data, arguments.runs, arguments.early, not arguments.no_scores,
           arguments.trunk)


if __name__ == "__main__":
    main()
