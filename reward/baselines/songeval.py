"""SongEval (arXiv 2505.10793): how musicians would rate a song, on five scales from 1 to 5.

    git clone https://github.com/ASLP-lab/SongEval
    --reward songeval --judges songeval:FOLDER    the clone in the working directory; another folder of its format

The published head reads frames of MuQ-large-msd-iter, which is looked for in and beside the folder, then on the hub.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from music.errors import InputError
from music.files import read_object, read_yaml
from music.paths import is_file
from music.prompts import Prompt
from reward.baselines.clip_scorer import ClipScorer
from reward.cmi_rm import towers
from reward.cmi_rm.checkpoint import muq_tensors
from reward.cmi_rm.folded_subsampling import FoldedSubsampling
from reward.cmi_rm.locations import Locator
from reward.cmi_rm.weights import load_strictly, read_tensors
from reward.protocol import MUQ

_CONFIG, _WEIGHTS = "config.yaml", "ckpt/model.safetensors"
_SIZES = ("in_features", "ffd_hidden_size", "num_classes", "attn_layer_num")
_MUQ = "OpenMuQ/MuQ-large-msd-iter"
_LAYER = 6  # index into MuQ's hidden states, which begin with the input of its first layer
_HEADS = 8
_ARITHMETIC = 1  # raise it with any change of the code that moves scores


class SongEvalHead(nn.Module):
    """Five numbers from the frames of a song.

    With frames x_t, the head computes h_t = W2 relu(W1 x_t), passes h through layers of attention without residuals to
    give a, and returns 3 + 2 tanh(W3 [mean_t a_t; max_t h_t]), each in (1, 5).

    Parameters
    ----------
    width
        Width of a frame.
    hidden
        Width of the feed-forward layer.
    layers
        Number of layers of attention.
    scales
        Number of scales.
    """

    def __init__(self, width: int, hidden: int, layers: int, scales: int) -> None:
        super().__init__()
        # the names of the published weights
        self.ffd = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width))
        self.attn = nn.ModuleList(
            nn.MultiheadAttention(width, _HEADS, batch_first=True) for _ in range(layers)
        )
        self.fc = nn.Linear(2 * width, scales)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Map `[B, T, width]` to `[B, scales]`."""
        hidden = self.ffd(frames)
        attended = hidden
        for layer in self.attn:
            attended, _ = layer(attended, attended, attended, need_weights=False)
        pooled = torch.cat([attended.mean(dim=1), hidden.amax(dim=1)], dim=1)
        return 3 + 2 * torch.tanh(self.fc(pooled))


class SongEval(ClipScorer):
    """A whole song in one piece, as the authors score it, up to five minutes; soxr resamples it.

    The place is a folder with the published ``config.yaml`` and ``ckpt/model.safetensors``. The mel front end and the
    head stay in float32.
    """

    kind, published = "songeval", ""  # always named after its folder
    # in the order of the weights; the prefix tells its musicality from that of a reward model
    metrics = tuple(
        f"songeval_{scale}" for scale in ("coherence", "musicality", "memorability", "clarity", "naturalness")
    )
    sample_rate = 24_000
    max_seconds = 300.0
    features = (MUQ,)
    libraries = ("torchaudio", "transformers", "muq")

    def load(self, place: str) -> tuple[nn.Module, Mapping[str, Any]]:
        """Return the MuQ, as far as it is heard, and the head; see `ClipScorer`."""
        folder = Path(place)
        self.name = folder.resolve().name
        if not is_file(folder / _CONFIG):
            raise InputError(
                f"no SongEval in {place}: git clone https://github.com/ASLP-lab/SongEval, and give songeval:FOLDER"
            )
        head = _load_head(folder)
        muq_folder = (
            Locator().beside(folder).folder(_MUQ, ("config.json", "model.safetensors", "pytorch_model.bin"))
        )
        muq_config = read_object(muq_folder / "config.json")
        muq = towers.build_muq(muq_config)
        load_strictly(muq, muq_tensors(muq_folder), f"the MuQ of {muq_folder}")
        _check_fit(muq, head, muq_folder)
        muq.model.conv = FoldedSubsampling(muq.model.conv)
        muq.model.conformer.layers = muq.model.conformer.layers[: _LAYER + 1]  # what comes later is not heard
        facts = {"arithmetic": [_ARITHMETIC, towers.ARITHMETIC], "muq": muq_config, "layer": _LAYER}
        return nn.ModuleDict({"muq": muq, "head": head}), facts

    def measure(self, wave: torch.Tensor, prompt: Prompt) -> list[float]:
        """Return the five scales; see `ClipScorer`."""
        if len(wave) <= towers.SHORTEST:
            heard, least = len(wave) / self.sample_rate, towers.SHORTEST / self.sample_rate
            raise InputError(f"audio of {heard:.3f} s is too short: expected over {least:.3f} s")
        with self._autocast():
            frames = self._model["muq"](wave[None].to(self._device)).hidden_states[_LAYER]
        return self._model["head"](frames.float())[0].tolist()


def _load_head(folder: Path) -> SongEvalHead:
    try:
        fields = read_yaml(folder / _CONFIG)["generator"]
        width, hidden, scales, layers = (int(fields[size]) for size in _SIZES)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder / _CONFIG}: expected generator with {', '.join(_SIZES)}") from error
    if scales != len(SongEval.metrics):
        raise InputError(f"{folder / _CONFIG}: num_classes is {scales}, expected {len(SongEval.metrics)}")
    with torch.random.fork_rng(devices=[]):  # its first weights are thrown away
        head = SongEvalHead(width, hidden, layers, scales)
    load_strictly(head, read_tensors(folder / _WEIGHTS), f"the SongEval of {folder}")
    return head


def _check_fit(muq: Any, head: SongEvalHead, folder: Path) -> None:
    layers, width = len(muq.model.conformer.layers), muq.config.encoder_dim
    if layers < _LAYER or width != head.ffd[0].in_features:
        raise InputError(
            f"the MuQ of {folder} has {layers} layers of width {width}; SongEval stands on layer {_LAYER}, "
            f"of width {head.ffd[0].in_features}"
        )
