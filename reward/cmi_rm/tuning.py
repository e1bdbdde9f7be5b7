"""Parts of the towers that learn beside the head, by the names that the published config has for them.

    text_encoder.tune: transformer    the transformer over XLM-RoBERTa
    text_encoder.tune: all            the whole text tower
    text_lora_config                  low-rank updates of XLM-RoBERTa's matrices (LoRA, arXiv 2106.09685)
    train_muq_depth: n                the last n layers of MuQ's conformer

The towers stay in eval mode: their own dropout is not used, only that of the low-rank updates.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from music.errors import InputError
from music.optional_libraries import OptionalLibraries, install_extra
from reward.cmi_rm.dropout import Dropout
from reward.cmi_rm.towers import Towers

TEXT_PARTS = ("", "transformer", "all")
_ADAPTER = "default"


@dataclass(frozen=True)
class Tuning:
    """Parts of the towers that learn; none by default.

    Attributes
    ----------
    text
        Part of the text tower, one of `TEXT_PARTS`.
    lora_r, lora_alpha
        Rank of the low-rank updates, 0 for none; they count alpha / rank.
    lora_dropout
        Dropout of what goes into an update, in [0, 1).
    lora_target_modules
        Ends of the names of the matrices that are updated.
    muq_depth
        Number of the last layers of MuQ's conformer.

    Raises
    ------
    InputError
        If a value makes no sense, or both the text tower and updates of it are to learn.
    """

    text: str = ""
    lora_r: int = 0
    lora_alpha: int = 16
    lora_dropout: float = 0.1
    lora_target_modules: tuple[str, ...] = ("query", "value")
    muq_depth: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.text not in TEXT_PARTS:
            raise InputError(f"--text_encoder_tune must be transformer or all, got {self.text!r}")
        if self.lora_r < 0 or self.muq_depth < 0:
            raise InputError(
                f"--lora_r and --train_muq_depth must be at least 0, got {self.lora_r}, {self.muq_depth}"
            )
        if not 0 <= self.lora_dropout < 1:
            raise InputError(f"--lora_dropout must lie in [0, 1), got {self.lora_dropout}")
        if self.lora_alpha <= 0:
            raise InputError(f"--lora_alpha must be above 0, got {self.lora_alpha}")
        if self.text and self.lora_r:
            raise InputError("--text_encoder_tune and --lora_r exclude each other: choose one")

    @property
    def kinds(self) -> frozenset[str]:
        """What the towers that learn encode: text, audio, both or neither."""
        learning = {"text": bool(self.text or self.lora_r), "audio": bool(self.muq_depth)}
        return frozenset(kind for kind, learns in learning.items() if learns)

    def published(self) -> dict[str, Any]:
        """Return the fields of the published config that tell it; updates are merged into what is saved."""
        text = {"text_encoder": {"name": "muq_mulan", "tune": self.text}} if self.text else {}
        return {**text, **({"train_muq_depth": self.muq_depth} if self.muq_depth else {})}


def unfreeze(towers: Towers, tuning: Tuning, seed: int) -> list[nn.Parameter]:
    """Let parts of the towers learn, in place, and return their parameters; the seed is that of the updates.

    Raises
    ------
    InputError
        If MuQ has fewer layers, no matrix has one of the names, or peft is not installed.
    """
    if tuning.text:
        (towers.text_module if tuning.text == "all" else towers.text_module.transformer).requires_grad_(True)
        towers.text_module.model.pooler.requires_grad_(False)  # nothing reads it
    if tuning.lora_r:
        _add_updates(towers.text_module.model, tuning, seed)
    if tuning.muq_depth:
        layers = towers.audio_module.model.model.conformer.layers
        if tuning.muq_depth > len(layers):
            raise InputError(f"--train_muq_depth {tuning.muq_depth}: this MuQ has {len(layers)} layers")
        layers[-tuning.muq_depth :].requires_grad_(True)
    return [parameter for parameter in towers.parameters() if parameter.requires_grad]


def _add_updates(model: nn.Module, tuning: Tuning, seed: int) -> None:
    OptionalLibraries("--lora_r", ("peft",), install_extra("lora")).check()
    from peft import LoraConfig, inject_adapter_in_model

    names = list(tuning.lora_target_modules)
    config = LoraConfig(r=tuning.lora_r, lora_alpha=tuning.lora_alpha, target_modules=names)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            inject_adapter_in_model(config, model, _ADAPTER)
        except ValueError as error:
            raise InputError(f"--lora_target_modules {','.join(names)}: {error}") from error
    updated = dict(_updated(model))
    for target in names:
        if not any(name.endswith(target) for name in updated):
            raise InputError(f"--lora_target_modules: no matrix is called {target!r}")
    for layer in updated.values():
        layer.lora_dropout[_ADAPTER] = Dropout(tuning.lora_dropout).eval()


def _updated(model: nn.Module) -> Iterator[tuple[str, Any]]:
    from peft.tuners.lora import LoraLayer

    return ((name, part) for name, part in model.named_modules() if isinstance(part, LoraLayer))


def merged_weights(towers: Towers) -> Mapping[str, torch.Tensor]:
    """Return the weights of towers, low-rank updates merged into the matrices that they update."""
    weights = dict(towers.state_dict())
    if not any(".lora_" in name for name in weights):
        return weights
    for name, layer in _updated(towers):
        weights[f"{name}.base_layer.weight"] = layer.base_layer.weight + layer.get_delta_weight(_ADAPTER)
    return {
        name.replace(".base_layer.", "."): value for name, value in weights.items() if ".lora_" not in name
    }
