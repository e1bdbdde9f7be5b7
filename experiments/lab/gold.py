"""The gold judges as a scorer: the share of the prompt's facts that a clip meets, and how free of damage it sounds.

    python -m reward.score --reward experiments.lab.gold:Gold --pool runs/best_of_n/pool

They check the reward model, so they share nothing with it: they have their own features, networks, songs, damage and
random streams (`gold_judge/`).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

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
ARITHMETIC = 1  # part of every hash: raise it with any change of the code that moves scores


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
    """Share of the prompt's facts that are heard, and 1 - the severity of damage that is heard; both in [0, 1].

    Each requested fact of `JUDGED` counts 1 if its likeliest value is the requested one, and 0 if not. Computed in
    float32, one clip at a time.

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
    metrics = ("gold_alignment", "gold_musicality")

    def __init__(self, folder: str | Path | None = None, device: str = "auto") -> None:
        place = asset("lab/gold") if folder is None else Path(folder)
        if not is_file(place / CONFIG):
            raise InputError(
                f"{place} holds no gold judges (no {CONFIG}): train them with `python -m experiments.lab.train gold`"
            )
        self.config = read_object(place / CONFIG)
        if self.config != config_of_model():
            raise InputError(f"{place} holds judges of other facts or damage: train them anew")
        self.device = find_device(device)
        self.hears = (Hearing(True, SAMPLE_RATE, MAX_SECONDS),)
        self.model = GoldModel()
        load_strictly(self.model, read_tensors(place / WEIGHTS), "the gold judges")
        self.model.eval().requires_grad_(False)
        self.hash = self._hash()  # taken while the weights are on the CPU
        self.model.to(self.device)

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
        """Return `gold_alignment` and `gold_musicality` of each request; see `reward.protocol.Scorer`."""
        requested = [requested_facts(request.prompt) for request in requests]
        heard = [self.hear(request.audio) for request in requests]
        return [
            {"gold_alignment": one.alignment(facts), "gold_musicality": 1 - one.severity}
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
            for name, value in self.model(*spectrograms(wave[None].to(self.device))).items()
        }
        facts = {
            name: dict(zip(values, found[name].softmax(0).tolist(), strict=True))
            for name, values in HEARD.items()
        }
        strengths = found["damage"].sigmoid().tolist()
        return Impression(facts, found["severity"].sigmoid().item(), dict(zip(KINDS, strengths, strict=True)))
