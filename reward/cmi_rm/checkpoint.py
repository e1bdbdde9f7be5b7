"""Folders that hold a CMI-RM: ``config.yaml`` and ``model.safetensors``, in the published format.

A checkpoint is full (head and towers) or head-only; a head-only one takes the towers from the MuQ-MuLan that
``model_name`` names. Names in the configs may be relative: they are looked up in the working directory, then in and
beside the folder that names them, before a hub is asked. For a full checkpoint only the configs and the tokenizer of
those models are read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml
from safetensors.torch import save

from music.durable import write_bytes, write_text
from music.errors import InputError
from music.paths import is_file
from music.shapes import for_shapes, without_weights
from music.torch_files import read_torch_tensors
from reward.cmi_rm.config import CMIRMConfig, config_to_dict, read_config
from reward.cmi_rm.head import RewardHead
from reward.cmi_rm.locations import Locator
from reward.cmi_rm.towers import MAX_SECONDS, Towers, find_tower_files
from reward.cmi_rm.weights import load_strictly, read_tensors

CONFIG, WEIGHTS = "config.yaml", "model.safetensors"
_TOWERS = ("audio_module.", "text_module.")
_MULAN = {"mulan.audio.": "audio_module.", "mulan.text.": "text_module."}


@dataclass
class CMIRM:
    """A loaded model: its config, its head and its towers."""

    config: CMIRMConfig
    head: RewardHead
    towers: Towers


def is_checkpoint(folder: Path) -> bool:
    """Return whether a folder holds a CMI-RM."""
    return is_file(folder / CONFIG) and (for_shapes() or is_file(folder / WEIGHTS))


def checkpoints_in(folder: Path) -> list[Path]:
    """Return the folders within a folder that hold a CMI-RM, by name; none if it cannot be read."""
    return sorted(path.parent for path in folder.glob(f"*/{CONFIG}") if is_checkpoint(path.parent))


def load_checkpoint(folder: Path, max_seconds: float = MAX_SECONDS, dtype: str = "float32") -> CMIRM:
    """Load a folder onto the CPU, strictly.

    Raises
    ------
    InputError
        If a file is missing or damaged, or fields of the config or keys are missing or unknown; they are named.
    """
    head, towers = load_head(folder)
    config = head.config
    head.eval().requires_grad_(False)
    locator = Locator().beside(folder)
    loaded = load_towers(config.model_name, locator, towers or None, config.use_layer_idx, max_seconds, dtype)
    if loaded.dim != config.dim:
        raise InputError(
            f"{folder / CONFIG}: dim is {config.dim}, but the towers {config.model_name} have {loaded.dim}"
        )
    return CMIRM(config, head, loaded)


def load_head(folder: Path) -> tuple[RewardHead, dict[str, torch.Tensor]]:
    """Load the head of a folder onto the CPU, and return it with the towers of a full one; see `load_checkpoint`."""
    config = read_config(folder / CONFIG)
    if for_shapes():
        with without_weights():
            return RewardHead(config), {}
    tensors = read_tensors(folder / WEIGHTS)
    towers = {key: value for key, value in tensors.items() if key.startswith(_TOWERS)}
    with torch.random.fork_rng(devices=[]):  # its first weights are thrown away
        head = RewardHead(config)
    load_strictly(head, {key: value for key, value in tensors.items() if key not in towers}, f"{folder}")
    return head, towers


def load_towers(
    name: str,
    locator: Locator,
    weights: Mapping[str, torch.Tensor] | None = None,
    use_layer_idx: int = -1,
    max_seconds: float = MAX_SECONDS,
    dtype: str = "float32",
) -> Towers:
    """Load the towers of the MuQ-MuLan `name`, with its own weights unless others are given.

    Raises
    ------
    InputError
        If it cannot be found or its weights do not fit.
    """
    if for_shapes():
        weights = {}
    if weights is None:
        folder = locator.folder(name, ("config.json", "model.safetensors", "pytorch_model.bin"))
        locator = locator.beside(folder)
        weights = tower_weights(muq_tensors(folder))
    return Towers(find_tower_files(name, locator), weights, use_layer_idx, max_seconds, dtype)


def save_checkpoint(
    folder: Path, config: CMIRMConfig, head: RewardHead, towers: Mapping[str, torch.Tensor] | None = None
) -> None:
    """Write a folder that `load_checkpoint` reads: head-only, or full if the towers' weights are given.

    Each file is replaced atomically. A relative `config.model_name` is relative to the folder's parent.
    """
    tensors = {**head.state_dict(), **(towers or {})}
    contents = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    write_bytes(folder / WEIGHTS, save(contents, metadata={"format": "pt"}))
    write_text(folder / CONFIG, yaml.safe_dump({"model": config_to_dict(config)}, sort_keys=False))


def tower_weights(mulan: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors of the towers of a MuQ-MuLan, under the names of `Towers`."""
    return {
        new + key.removeprefix(old): value
        for old, new in _MULAN.items()
        for key, value in mulan.items()
        if key.startswith(old)
    }


def muq_tensors(folder: Path) -> dict[str, torch.Tensor]:
    """Return all tensors of the folder of a MuQ-MuLan or a MuQ, under the names of `muq`."""
    if is_file(folder / WEIGHTS):
        return read_tensors(folder / WEIGHTS)
    binary = folder / "pytorch_model.bin"
    if is_file(binary):
        return read_torch_tensors(binary, "weights")
    raise InputError(f"{folder} holds no weights: expected {WEIGHTS} or pytorch_model.bin")
