"""Audiobox-Aesthetics (arXiv 2502.05139): how a listener would rate any audio on four axes, about 1 to 10.

    --reward audiobox --judges audiobox:FOLDER    the published model; a folder in its format

CE is content enjoyment, CU content usefulness, PC production complexity, PQ production quality.
"""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import pad

from music.errors import InputError
from music.files import read_object
from music.optional_libraries import OptionalLibraries
from music.prompts import Prompt
from reward.baselines.clip_scorer import ClipScorer
from reward.baselines.in_float32 import InFloat32
from reward.baselines.waves import mean_over_pieces
from reward.cmi_rm.locations import Locator
from reward.cmi_rm.weights import load_strictly, read_tensors

LIBRARIES = OptionalLibraries(
    "audiobox", ("audiobox_aesthetics",), "pip install --no-deps audiobox_aesthetics==0.0.4"
)
_CONFIG, _WEIGHTS = "config.json", "model.safetensors"
_ARITHMETIC = 1  # raise it with any change of the code that moves scores
_PIECE_SECONDS = 10


class Audiobox(ClipScorer):
    """The means over pieces of ten seconds, weighted by duration; the last one is filled up with masked zeros.

    That is what the package's own predictor does, except that soxr resamples clips, and pieces are encoded one by one.

    The numeric type is float32 whatever ``precision`` its config asks for, as the package's predictor computes; with
    bfloat16, autocast rules between the convolutions that hear the wave and the heads. The place is a folder or hub id
    as `PyTorchModelHubMixin` saves it.
    """

    kind, published = "audiobox", "facebook/*"
    metrics = ("CE", "CU", "PC", "PQ")
    sample_rate = 16_000
    libraries = ("audiobox_aesthetics",)

    def load(self, place: str) -> tuple[torch.nn.Module, Mapping[str, Any]]:
        """Return the package's model; see `ClipScorer`."""
        LIBRARIES.check()
        folder = Locator().folder(place, (_CONFIG, _WEIGHTS))
        config = read_object(folder / _CONFIG)
        model = _build(config)
        load_strictly(model, read_tensors(folder / _WEIGHTS), f"the Audiobox-Aesthetics of {place}")
        model.wavlm_model.feature_extractor = InFloat32(model.wavlm_model.feature_extractor)
        model.proj_layer = torch.nn.ModuleDict(
            {name: InFloat32(head) for name, head in model.proj_layer.items()}
        )
        self._means, self._deviations = _target_scale(config, self.metrics, folder)
        # autocast is switched by the model itself, whatever is around it
        model.precision, model.enable_autocast = self._dtype, self._dtype == torch.bfloat16
        return model, {"arithmetic": _ARITHMETIC, "config": config, "piece": _PIECE_SECONDS}

    def measure(self, wave: torch.Tensor, prompt: Prompt) -> list[float]:
        """Return CE, CU, PC and PQ; see `ClipScorer`."""
        return mean_over_pieces(wave, _PIECE_SECONDS * self.sample_rate, self._piece).tolist()

    def _piece(self, wave: torch.Tensor) -> torch.Tensor:
        missing = _PIECE_SECONDS * self.sample_rate - len(wave)
        heard = torch.ones(len(wave), dtype=torch.bool)
        batch = {"wav": pad(wave, (0, missing)), "mask": pad(heard, (0, missing))}
        found = self._model({key: value[None, None].to(self._device) for key, value in batch.items()})
        standardised = torch.cat([found[metric] for metric in self.metrics]).cpu()
        return standardised * self._deviations + self._means


def _build(config: Mapping[str, Any]) -> Any:
    """Return the model with any weights; unknown fields of the config are ignored, as by the package."""
    from audiobox_aesthetics.model.aes import AesMultiOutput

    known = {field.name for field in fields(AesMultiOutput)}
    with torch.random.fork_rng(devices=[]):  # its first weights are thrown away
        return AesMultiOutput(**{key: value for key, value in config.items() if key in known})


def _target_scale(
    config: Mapping[str, Any], metrics: tuple[str, ...], folder: Path
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and standard deviation `[metrics]` of the ratings that the model was trained on."""
    try:
        scale = config["target_transform"]
        means, deviations = ([float(scale[one][word]) for one in metrics] for word in ("mean", "std"))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{folder / _CONFIG}: target_transform must give mean and std of {', '.join(metrics)}"
        ) from error
    return torch.tensor(means), torch.tensor(deviations)
