"""MuQ-Eval (arXiv 2603.22677): the overall impression that experts would mark a generated clip with, about 1 to 5.

    --reward muq-eval --judges muq-eval:FOLDER    the published model A1; a folder in its format

The MuQ whose sizes it needs, MuQ-large-msd-iter, is looked for in and beside the folder, then on the hub; the weights
are the checkpoint's own.
"""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import pad

from music.errors import InputError
from music.files import read_object, read_yaml
from music.paths import is_file
from music.prompts import Prompt
from music.torch_files import read_torch_tensors
from reward.baselines.clip_scorer import ClipScorer
from reward.cmi_rm import towers
from reward.cmi_rm.folded_subsampling import FoldedSubsampling
from reward.cmi_rm.locations import Locator
from reward.cmi_rm.weights import load_strictly
from reward.protocol import MUQ

_CONFIG, _WEIGHTS = "config.yaml", "model_state_dict.pt"
_FILES = (_CONFIG, "*.yaml", _WEIGHTS)
_HEAD = "MI"  # musical impression; TA, alignment with a text that it does not see, is left out
_ATTENTION = 128  # width of the layer that weighs frames
# a learned bias for each training set stands in the weights and is zero where none is named
_PARTS = {"encoder.encoder.": "muq.", "encoder.pooling.": "head.pooling.", f"heads.{_HEAD}.": "head."}
_SUPPORTED = {
    ("model", "encoder"): "muq",
    ("model", "tuning_mode"): "frozen",
    ("model", "pooling"): "attention",
    ("loss", "type"): "mse",
}
_ARITHMETIC = 1  # raise it with any change of the code that moves scores


class MuQEvalHead(nn.Module):
    """A number from the frames of a clip: their mean, weighted by attention, and a perceptron.

    Parameters
    ----------
    width
        Width of a frame.
    hidden
        Width of the perceptron's hidden layers.
    layers
        Number of its layers, the last one included.
    """

    def __init__(self, width: int, hidden: int, layers: int) -> None:
        super().__init__()
        # the names of the published weights, which count a dropout after each hidden layer
        weighing = nn.Sequential(nn.Linear(width, _ATTENTION), nn.Tanh(), nn.Linear(_ATTENTION, 1))
        self.pooling = nn.ModuleDict({"attention": weighing})
        widths = [width, *[hidden] * (layers - 1)]
        steps = [(nn.Linear(*pair), nn.GELU(), nn.Identity()) for pair in pairwise(widths)]
        self.mlp = nn.Sequential(*(part for step in steps for part in step), nn.Linear(widths[-1], 1))

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Map `[B, T, width]` to `[B]`."""
        shares = self.pooling["attention"](frames).softmax(dim=1)
        return self.mlp((shares * frames).sum(dim=1))[:, 0]


class MuQEval(ClipScorer):
    """The middle ten seconds of a clip of up to five minutes, filled up with silence, as the authors evaluate it.

    ``mean10:muq-eval`` hears two minutes in such pieces. soxr resamples; mel front end and head stay in float32.

    The place is a folder or hub id with ``config.yaml``, the files that it names as ``defaults``, and
    ``model_state_dict.pt``, of a frozen MuQ with attention pooling that was trained with the squared error (A1).
    """

    kind, published = "muq-eval", "zhudi2825/*"
    metrics = ("muq_eval_impression",)
    max_seconds = 300.0
    features = (MUQ,)
    libraries = ("torchaudio", "transformers", "muq")

    def load(self, place: str) -> tuple[nn.Module, Mapping[str, Any]]:
        """Return the MuQ and the head; see `ClipScorer`."""
        folder = Locator().folder(place, _FILES)
        config = _read_config(folder)
        try:
            fields = config["model"]
            sizes = [int(fields[name]) for name in ("encoder_dim", "head_hidden_dim", "head_layers")]
            self.sample_rate, self._heard = (
                int(config["data"][name]) for name in ("sample_rate", "clip_samples")
            )
            encoder, heads = str(fields["encoder_id"]), [head["name"] for head in fields["heads"]]
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{folder / _CONFIG} is not the config of a MuQ-Eval: {error!r}") from error
        if self._heard <= towers.SHORTEST:
            raise InputError(
                f"{folder / _CONFIG}: clip_samples is {self._heard}, expected over {towers.SHORTEST}"
            )
        if _HEAD not in heads:
            raise InputError(
                f"{folder / _CONFIG}: expected a head {_HEAD}, found {', '.join(heads) or 'none'}"
            )
        muq_folder = Locator().beside(folder).folder(encoder, ("config.json",))
        muq_config = read_object(muq_folder / "config.json")
        with torch.random.fork_rng(devices=[]):  # its first weights are thrown away
            head = MuQEvalHead(*sizes)
        model = nn.ModuleDict({"muq": towers.build_muq(muq_config), "head": head})
        load_strictly(model, _read_weights(folder / _WEIGHTS), f"the MuQ-Eval of {place}")
        muq: Any = model["muq"]
        muq.model.conv = FoldedSubsampling(muq.model.conv)
        facts = {"arithmetic": [_ARITHMETIC, towers.ARITHMETIC], "muq": muq_config, "heard": self._heard}
        return model, facts

    def measure(self, wave: torch.Tensor, prompt: Prompt) -> list[float]:
        """Return the impression; see `ClipScorer`."""
        start = max(0, len(wave) - self._heard) // 2
        middle = wave[start : start + self._heard]
        middle = pad(middle, (0, self._heard - len(middle)))
        with self._autocast():
            frames = self._model["muq"](middle[None].to(self._device)).last_hidden_state
        return self._model["head"](frames.float()).tolist()


def _read_config(folder: Path) -> dict[str, Any]:
    """Return the config over those that it names as its defaults; `InputError` for a model of another kind."""
    path = folder / _CONFIG
    config: dict[str, Any] = {}
    own = read_yaml(path)
    if not isinstance(own, dict):
        raise InputError(f"{path} is not the config of a MuQ-Eval: expected fields with values")
    names = own.pop("defaults", None) or []
    for name in names if isinstance(names, list) else [names]:
        if is_file(base := folder / f"{Path(str(name)).name}.yaml"):
            config = _over(config, read_yaml(base))
    config = _over(config, own)
    for (part, field), supported in _SUPPORTED.items():
        found = config.get(part)
        value = found.get(field) if isinstance(found, dict) else None
        if value != supported:
            raise InputError(
                f"{path}: {part}.{field} is {value!r}, and only {supported!r} (A1) can be loaded"
            )
    return config


def _over(base: Any, own: Any) -> Any:
    if not (isinstance(base, dict) and isinstance(own, dict)):
        return own
    return {**base, **{key: _over(base.get(key), value) for key, value in own.items()}}


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    tensors = read_torch_tensors(path, "weights of a MuQ-Eval")
    return {
        new + key.removeprefix(old): value
        for old, new in _PARTS.items()
        for key, value in tensors.items()
        if key.startswith(old)
    }
