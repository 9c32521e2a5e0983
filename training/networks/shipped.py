# SPDX-License-Identifier: Apache-2.0
"""Reads a residual U-Net from the file that ships: see exporting/export.py for the format."""
import json

from safetensors import safe_open

from training.networks.presence_head import Presence
from training.networks.residual_unet import Architecture, UNet


def load(path):
    """The network in float32, with its presence head if the file has one, and the file's metadata."""
    with safe_open(path, "pt") as file:
        facts = json.loads(file.metadata()["kontur"])
        state = {key: file.get_tensor(key).float() for key in file.keys()}
    arch = {key: tuple(value) if isinstance(value, list) else value for key, value in facts["architecture"].items()}
    network = UNet(Architecture(**arch)).eval()
    if any(key.startswith("presence.") for key in state):
        network.presence = Presence()
    network.load_state_dict(state)
    return network, facts
