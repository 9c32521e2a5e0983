# SPDX-License-Identifier: Apache-2.0
"""Turns a checkpoint into the file that ships and its model card: python training/export.py polyp-compact

Takes the averaged weights, folds batch norms, rounds to fp16, scores the rounded network on the held-out cases, and
writes Sources/CWeights/files/<name>-<first 8 hex digits of the file's SHA-256>.safetensors (an older file of that name is
removed) and cards/<name>.md. The file's metadata has one key, `kontur`: a JSON with everything a runtime needs besides
the tensors. `--early` marks weights of an unfinished run; `--no-scores` leaves the scoring out.
"""
import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save

import cards
import confidence
import embed
import fit_confidence
import fit_presence
import left_atrium
import polyp
import reference
from networks import Architecture, UNet
from presence import Presence
from scores import dice, summary

TASKS = {polyp.NAME: polyp, left_atrium.NAME: left_atrium}
HERE = Path(__file__).resolve().parent
WEIGHTS = HERE.parent / "Sources/CWeights/files"


def load(path):
    """The network of a shipped file, in float32, and its metadata."""
    with safe_open(path, "pt") as file:
        facts = json.loads(file.metadata()["kontur"])
        state = {key: file.get_tensor(key).float() for key in file.keys()}
    arch = {key: tuple(value) if isinstance(value, list) else value for key, value in facts["architecture"].items()}
    network = UNet(Architecture(**arch)).eval()
    if any(key.startswith("presence.") for key in state):
        network.presence = Presence()
    network.load_state_dict(state)
    return network, facts


def rounded(network):
    """The folded network with every tensor rounded to fp16, computing in float32."""
    network = network.folded()
    network.load_state_dict({key: value.half().float() for key, value in network.state_dict().items()})
    return network


def score(task, network, data, fit):
    """Dice of every held-out case, plainly and augmented, and the measures and confidence of the augmented answer."""
    rows = []
    for name, image, truth in task.held_out(data):
        answer = task.answer(network, image)
        rows.append({"case": name, "plain": dice(answer.plain, truth), "augmented": dice(answer.mask, truth),
                     **answer.measures,
                     "confidence": confidence.of(answer, fit)})
    return {key: {k: round(v, 4) for k, v in summary([row[key] for row in rows]).items()}
            for key in ("plain", "augmented")}, rows


def write(task, network, scores, version, training, fit):
    facts = {"name": task.NAME, "version": version, "kind": f"unet{network.arch.axes}d",
             "architecture": network.arch.as_dict(), "input": task.NORMALISATION, "data": task.DATA_SETS,
             "scores": scores, "training": training, "licence": "weights: research use, see the model card"}
    if fit:
        facts["confidence"] = fit
    tensors = {key: value.half().contiguous() for key, value in network.state_dict().items()}
    body = save(tensors, {"kontur": json.dumps(facts, sort_keys=True)})
    digest = hashlib.sha256(body).hexdigest()
    WEIGHTS.mkdir(parents=True, exist_ok=True)
    for old in WEIGHTS.glob(f"{task.NAME}-*.safetensors"):
        old.unlink()
    path = WEIGHTS / f"{task.NAME}-{digest[:8]}.safetensors"
    path.write_bytes(body)
    embed.write()
    return path, digest


def trained(task, runs):
    """The rounded network of a checkpoint, and how it came about: its stages, the last one's facts first."""
    kept = torch.load(runs / task.NAME / "checkpoint.pt", weights_only=True)
    network = UNet(task.ARCHITECTURE).eval()
    network.load_state_dict(kept["average"])
    last = {"samples": kept["step"] * task.BATCH, "seed": kept["seed"], "core_seconds": round(kept["seconds"])}
    if kept.get("leave_out") is not None:
        last["leave_out"] = kept["leave_out"]
    return rounded(network), {**last, "stages": [*kept["stages"], last]} if kept.get("stages") else last


def export(task, data, runs, early=False, with_scores=True, trunk=None):
    if trunk:
        network, facts = load(trunk)
        if hasattr(network, "presence"):
            del network.presence
        training = facts["training"]
    else:
        network, training = trained(task, runs)
    presence, logits = fit_presence.attach(network, data, runs) if task is polyp else (None, [])
    unseen = polyp.unseen(data, runs, training.get("leave_out"), logits) if task is polyp else []
    fit, sure = fit_confidence.fitted(task, network, data, unseen) if with_scores else (None, None)
    scores, rows = score(task, network, data, fit) if with_scores else ({}, [])
    if presence:
        scores["presence"] = presence
    if sure:
        scores["confidence"] = sure
    path, digest = write(task, network, scores, task.VERSION + ("-early" if early else ""), training, fit)
    reference.write(task, network, digest, data, fit)
    print(path.name, path.stat().st_size, json.dumps(scores))
    if with_scores:
        (runs / task.NAME).mkdir(parents=True, exist_ok=True)
        (runs / task.NAME / "scores.json").write_text(json.dumps(rows, indent=1))
        cards.write(HERE / "cards" / f"{task.NAME}.md", task, path, digest, scores, rows, training, fit)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", choices=TASKS)
    parser.add_argument("--data", default=HERE.parent / "../shared/data", type=Path)
    parser.add_argument("--runs", default=HERE / "runs", type=Path)
    parser.add_argument("--trunk", type=Path, help="take the network of this shipped file, not the checkpoint's")
    parser.add_argument("--early", action="store_true")
    parser.add_argument("--no-scores", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    export(TASKS[arguments.name], arguments.data, arguments.runs, arguments.early, not arguments.no_scores,
           arguments.trunk)


if __name__ == "__main__":
    main()
