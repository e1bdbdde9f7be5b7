"""TuneJury (arXiv 2606.17006): which of two clips listeners prefer, as the difference of two numbers.

    git clone https://github.com/yonghyunk1m/TuneJury
    --reward tunejury --judges tunejury:TuneJury/checkpoints    the published model; a folder or file of its format

A perceptron reads CLAP of the clip, MERT of the clip, and CLAP of the text; of a prompt without text, zeros. CLAP
(music_audioset_epoch_15_esc_90.14.pt), MERT-v1-330M and RoBERTa are looked for in and beside the folder, then on the
hub, where MERT-v1-330M asks for a login.
"""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import nn

from music.clips import Clip
from music.errors import InputError
from music.files import read_object
from music.paths import is_file
from music.prompts import Prompt
from music.torch_files import read_torch_tensors
from reward.baselines import laion
from reward.baselines.clip_scorer import ClipScorer
from reward.baselines.in_float32 import InFloat32
from reward.baselines.mert import FILES, load_mert
from reward.cmi_rm.locations import Locator
from reward.cmi_rm.weights import load_strictly

_WEIGHTS = "tunejury.pt"
_CLAP, _CLAP_AT = "music_audioset_epoch_15_esc_90.14.pt", "lukewys/laion_clap"
_MERT, _ROBERTA = "m-a-p/MERT-v1-330M", "FacebookAI/roberta-base"
_BLOCKS = ("clap_audio", "mert", "text")  # of the features, in the order of the weights
_HEARD = {"clap_audio": "LAION-CLAP", "mert": "MERT"}
_STEP = 4  # modules between two linear layers: normalisation, ReLU, dropout
_ARITHMETIC = 1  # raise it with any change of the code that moves scores


class TuneJuryHead(nn.Module):
    """A perceptron with batch normalisation, which its statistics of training make a function of one clip.

    Parameters
    ----------
    widths
        Widths of the features and of the hidden layers.
    """

    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        # the names of the published weights, which count a dropout after each hidden layer
        steps: list[nn.Module] = []
        for before, after in pairwise(widths):
            steps += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU(), nn.Identity()]
        self.net = nn.Sequential(*steps, nn.Linear(widths[-1], 1))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map `[B, width]` to `[B]`."""
        return self.net(features)[:, 0]


class TuneJury(ClipScorer):
    """CLAP hears the middle ten seconds, MERT all of a clip of up to five minutes, as the authors score collections.

    Their class for single files takes ten seconds at random for CLAP; soxr resamples here. The front end of CLAP, the
    convolutions of MERT and the head stay in float32.

    The place is a folder or hub id with ``tunejury.pt``, or a file of its kind; a ``.json`` of the same name beside it
    says which features a head was trained without.
    """

    kind, published = "tunejury", "TuneJury/*"
    metrics = ("tunejury",)
    sample_rate = laion.RATE
    max_seconds = 300.0
    libraries = ("transformers", "numpy")

    def load(self, place: str) -> tuple[nn.Module, Mapping[str, Any]]:
        """Return the encoders and the head; see `ClipScorer`."""
        named = Path(place)
        path = named if is_file(named) else Locator().folder(place, (_WEIGHTS, "tunejury.json")) / _WEIGHTS
        self.name = path.stem  # tunejury, or what a variant is called
        locator = Locator().beside(path.parent.resolve())
        left_out = _left_out(path.with_suffix(".json"))
        tensors = read_torch_tensors(path, "head of TuneJury", "state_dict")
        linear = [f"net.{number}.weight" for number in range(0, len(tensors), _STEP)]
        shapes = [tensors[name].shape for name in linear if name in tensors]
        if not shapes or any(len(shape) != 2 for shape in shapes):
            raise InputError(f"{path} holds no head of TuneJury: it has no net.0.weight")
        with torch.random.fork_rng(devices=[]):  # its first weights are thrown away
            head = TuneJuryHead([shape[1] for shape in shapes])
        load_strictly(head, tensors, f"the TuneJury of {path}")
        clap = laion.LaionClap(_clap_file(locator), locator.folder(_ROBERTA, laion.ROBERTA_FILES))
        model: Any = nn.ModuleDict({"clap": clap, "head": head})
        widths = {"clap_audio": clap.dim, "text": clap.dim}
        facts: dict[str, Any] = {"arithmetic": [_ARITHMETIC, laion.ARITHMETIC], "left_out": left_out}
        if "mert" not in left_out:
            mert, self._extract = load_mert(locator.folder(_MERT, FILES))
            widths["mert"] = mert.config.hidden_size
            facts |= {"mert": self._extract.to_dict(), "mert_config": mert.config.to_diff_dict()}
            mert.feature_extractor = InFloat32(mert.feature_extractor)
            model["mert"] = mert
        self.features = tuple(_HEARD[block] for block in _HEARD if block not in left_out)
        self._widths = {block: widths[block] for block in _BLOCKS if block not in left_out}
        if (wanted := shapes[0][1]) != (given := sum(self._widths.values())):
            parts = " + ".join(f"{width} of {block}" for block, width in self._widths.items())
            raise InputError(
                f"{path} reads {wanted} features, and there are {given} ({parts}): is its .json there?"
            )
        facts |= {"clap": clap.model.config.to_diff_dict(), "tokenizer": clap.tokenizer_hash}
        return model, facts

    def measure(self, wave: torch.Tensor, prompt: Prompt) -> list[float]:
        """Return the number; see `ClipScorer`."""
        measured = {"clap_audio": self._clap_audio, "mert": self._mert, "text": self._text}
        with self._autocast():
            found = torch.cat([measured[block](wave, prompt) for block in self._widths])
        return self._model["head"](found[None].to(self._device)).tolist()

    def _clap_audio(self, wave: torch.Tensor, prompt: Prompt) -> torch.Tensor:
        start = max(0, len(wave) - laion.LONGEST) // 2
        return self._model["clap"].embed_audio(wave[start : start + laion.LONGEST])

    def _text(self, wave: torch.Tensor, prompt: Prompt) -> torch.Tensor:
        if not prompt.text.strip():
            return torch.zeros(self._widths["text"])
        return self._model["clap"].embed_text(prompt.text)

    def _mert(self, wave: torch.Tensor, prompt: Prompt) -> torch.Tensor:
        rate, mert = int(self._extract.sampling_rate), self._model["mert"]
        heard = Clip(wave[None], self.sample_rate).resampled(rate).waveform[0]
        if mert._get_feat_extract_output_lengths(len(heard)) < 1:
            raise InputError(f"audio of {len(heard) / rate:.3f} s is too short for MERT")
        inputs = self._extract(heard.numpy(), sampling_rate=rate, return_tensors="pt")
        # nothing is filled up, so no mask is needed
        frames = mert(inputs["input_values"].to(self._device)).last_hidden_state
        return frames[0].float().mean(dim=0).cpu()


def _left_out(path: Path) -> list[str]:
    """Return the features that a head does not read, by the file beside it."""
    if not is_file(path):
        return []
    named = read_object(path).get("exclude", [])
    if not isinstance(named, list) or any(one not in _BLOCKS for one in named):
        raise InputError(f"{path}: exclude must be a list of {', '.join(_BLOCKS)}, got {named!r}")
    return sorted(named)


def _clap_file(locator: Locator) -> Path:
    places = [base / _CLAP for base in locator.bases]
    found = [place for place in places if is_file(place)]
    return found[0] if found else locator.folder(_CLAP_AT, (_CLAP,)) / _CLAP
