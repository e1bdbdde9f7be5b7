"""The gold judges as scorers: the share of the prompt's facts that a clip meets, and how free of damage it sounds.

    python -m reward.score --reward experiments.lab.gold:Gold --pool runs/best_of_n/pool

They check the reward model, so they share nothing with it: they have their own features, networks, songs, damage and
random streams (`gold_judge/`). There are two of them, who share nothing with each other either (`gold_b/`). `Gold` may
teach, as the truth that simulated raters hear; what was learned from it is judged by `GoldB`. What choosing by the one
brings in the ears of the other can be reached; an oracle that picks by its own ears picks its own noise as well.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from experiments.lab.gold_b.features import loudness_and_pitches
from experiments.lab.gold_b.model import GoldBModel
from experiments.lab.gold_judge.features import MAX_SECONDS, SAMPLE_RATE, prepared, spectrograms
from experiments.lab.gold_judge.model import GoldModel
from experiments.lab.world.damage import KINDS
from experiments.lab.world.facts import HEARD
from music.clips import Clip, read_clip
from music.devices import find_device
from music.errors import InputError
from music.files import read_object
from music.hashing import canonical_json, sha256_text
from music.paths import is_file
from music.prompts import Prompt
from music.shipped_files import asset
from reward.cmi_rm.weights import hash_tensors, load_strictly, read_tensors
from reward.hearing import Hearing
from reward.protocol import Scorer, ScoreRequest

CONFIG, WEIGHTS = "config.json", "model.safetensors"
#: facts that count in `gold_alignment`: those that are heard in about nine of ten held-out songs after the codec
#: (`gold_check.py`); the rate of syllables is heard in 89 % of sung ones, where guessing gives 52 %
JUDGED = tuple(name for name in HEARD if name != "syllable_rate")
MOST_ODDS = 5.0  # log odds beyond which a fact is as good as certain
_MEASURED = ("alignment", "margin", "musicality")
ARITHMETIC = 2  # part of every hash: raise it with any change of the code that moves scores


@dataclass(frozen=True)
class Impression:
    """What gold hears in one clip.

    Attributes
    ----------
    facts
        For each fact in `HEARD`, the probability of each value. `voice` and `syllable_rate` are None where nobody
        sings.
    severity
        Severity of the damage, in [0, 1].
    damage
        Strength of each kind of damage, in [0, 1].
    """

    facts: Mapping[str, Mapping[Any, float]]
    severity: float
    damage: Mapping[str, float]

    def best(self, name: str) -> Any:
        """Return the likeliest value of a fact."""
        return max(self.facts[name], key=self.facts[name].__getitem__)

    def alignment(self, requested: Mapping[str, Any]) -> float:
        """Return the share of the requested facts that are heard."""
        return sum(self.best(name) == value for name, value in requested.items()) / len(requested)

    def margin(self, requested: Mapping[str, Any]) -> float:
        """Return the mean log odds of the requested facts, each between -`MOST_ODDS` and `MOST_ODDS`."""
        return sum(map(self._log_odds, requested, requested.values())) / len(requested)

    def _log_odds(self, name: str, value: Any) -> float:
        chance = self.facts[name][value]
        odds = math.log(max(chance, 1e-9)) - math.log(max(1 - chance, 1e-9))
        return min(MOST_ODDS, max(-MOST_ODDS, odds))


def requested_facts(prompt: Prompt) -> dict[str, Any]:
    """Return the facts of a prompt that gold can judge; a fact of value None is not requested.

    Raises
    ------
    InputError
        If there is none, or one has a value that gold does not know.
    """
    requested = {name: prompt.facts[name] for name in JUDGED if prompt.facts.get(name) is not None}
    if not requested:
        raise InputError(
            f"prompt {prompt.id!r} has no fact that gold can judge: expected any of {', '.join(JUDGED)}"
        )
    for name, value in requested.items():
        if value not in HEARD[name]:
            known = ", ".join(json.dumps(one) for one in HEARD[name] if one is not None)
            raise InputError(f"prompt {prompt.id!r}: fact {name} is {json.dumps(value)}, gold knows {known}")
    return requested


def config_of_model() -> dict[str, Any]:
    """Return the config of a folder of weights: the order of their outputs."""
    return {"facts": {name: list(values) for name, values in HEARD.items()}, "damage": list(KINDS)}


class Gold(Scorer):
    """Share and log odds of the prompt's facts that are heard, and 1 - the severity of damage that is heard.

    `gold_alignment`, in [0, 1]: each requested fact of `JUDGED` counts 1 if its likeliest value is the requested one,
    and 0 if not. `gold_margin`, in [-`MOST_ODDS`, `MOST_ODDS`], tells the same in finer steps: the mean of their log
    odds. `gold_musicality`, in [0, 1]. Computed in float32, one clip at a time.

    Parameters
    ----------
    folder
        Folder of the weights; those that ship with the project by default.
    device
        Device of the model: ``auto``, ``cpu``, ``cuda`` ...

    Raises
    ------
    InputError
        If the folder holds no gold judges, or judges of other facts.
    """

    name = "gold"
    metrics = ("gold_alignment", "gold_margin", "gold_musicality")
    twins = MappingProxyType({f"gold_{name}": f"gold_b_{name}" for name in _MEASURED})
    PLACE = "lab/gold"
    PART = "gold"  # of `experiments.lab.train`

    def __init__(self, folder: str | Path | None = None, device: str = "auto") -> None:
        place = asset(self.PLACE) if folder is None else Path(folder)
        if not is_file(place / CONFIG):
            raise InputError(
                f"{place} holds no gold judges (no {CONFIG}): "
                f"train them with `python -m experiments.lab.train {self.PART}`"
            )
        self.config = read_object(place / CONFIG)
        if self.config != config_of_model():
            raise InputError(f"{place} holds judges of other facts or damage: train them anew")
        self.device = find_device(device)
        self.hears = (Hearing(True, SAMPLE_RATE, MAX_SECONDS),)
        self.model = self._network()
        load_strictly(self.model, read_tensors(place / WEIGHTS), "the gold judges")
        self.model.eval().requires_grad_(False)
        self.hash = self._hash()  # taken while the weights are on the CPU
        self.model.to(self.device)

    def _network(self) -> nn.Module:
        return GoldModel()

    def _features(self, wave: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return spectrograms(wave)

    def check_prompt(self, prompt: Prompt) -> None:
        """`InputError` for a prompt without a fact that gold can judge; see `reward.protocol.Scorer`."""
        requested_facts(prompt)

    def _hash(self) -> str:
        """Return the SHA-256 over weights, config, numeric type, seconds heard, library versions and our own."""
        facts = {
            "arithmetic": ARITHMETIC,
            "weights": hash_tensors(self.model.state_dict()),
            "config": self.config,
            "dtype": "float32",
            "max_seconds": MAX_SECONDS,
            "versions": {name: version(name).split("+")[0] for name in ("torch", "soxr")},
        }
        return sha256_text(canonical_json(facts))

    def score(self, requests: Sequence[ScoreRequest]) -> list[dict[str, float]]:
        """Return the metrics of each request; see `reward.protocol.Scorer`."""
        requested = [requested_facts(request.prompt) for request in requests]
        heard = [self.hear(request.audio) for request in requests]
        return [
            dict(zip(self.metrics, (one.alignment(facts), one.margin(facts), 1 - one.severity), strict=True))
            for one, facts in zip(heard, requested, strict=True)
        ]

    @torch.no_grad()
    def hear(self, source: Path | Clip) -> Impression:
        """Return what is heard in a file or clip.

        Raises
        ------
        InputError
            If the audio cannot be read or is too short.
        """
        clip = source if isinstance(source, Clip) else read_clip(source, MAX_SECONDS)
        try:
            wave = prepared(clip)
        except InputError as error:
            raise InputError(f"{source}: {error}" if isinstance(source, Path) else str(error)) from error
        found = {
            name: value[0].cpu()
            for name, value in self.model(*self._features(wave[None].to(self.device))).items()
        }
        facts = {
            name: dict(zip(values, found[name].softmax(0).tolist(), strict=True))
            for name, values in HEARD.items()
        }
        strengths = found["damage"].sigmoid().tolist()
        return Impression(facts, found["severity"].sigmoid().item(), dict(zip(KINDS, strengths, strict=True)))


class GoldB(Gold):
    """The second gold judges, who have heard other songs through other features and networks: the same three metrics.

    Parameters and errors are those of `Gold`.
    """

    name = "gold_b"
    metrics = ("gold_b_alignment", "gold_b_margin", "gold_b_musicality")
    twins = MappingProxyType({f"gold_b_{name}": f"gold_{name}" for name in _MEASURED})
    PLACE = "lab/gold_b"
    PART = "gold_b"

    def _network(self) -> nn.Module:
        return GoldBModel()

    def _features(self, wave: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return loudness_and_pitches(wave)
