"""Raters who do not exist: they answer over HTTP as browsers do, and prefer what they are told to.

    python -m experiments.ab_test serve runs/listening_test/blinded &
    python -m experiments.ab_test simulate runs/listening_test --raters 40 --strengths "top-10=0.6,top-1=0"

To try a study and its analysis before people spend their time on it. A rater hears a difference between two clips as
utility of the first - utility of the second + logistic noise, so that P(first preferred) = sigmoid(difference), the
Bradley-Terry model; small differences are ties, larger ones make surer. The utility of a clip is the strength of its
system, or, with ``--judge``, what a scorer says of it, in standard deviations over the study. Spoilt clips are far
worse. Careless raters toss a coin.
"""

import asyncio
import math
import random
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from experiments.ab_test.analysis.preferences import prompt_of
from experiments.ab_test.study import AUDIO, BLINDED, HEADS, Key, KeyClip, Study, load_study
from music.command import refuse_below_one, split_names
from music.errors import InputError
from reward import ScoreRequest, load_scorer

_SPOILT = -6.0  # utility of a clip that is drowned in noise, beside that of the clip itself
_SURE = (0.5, 1.0, 2.0, 3.0)  # heard differences above which a rater is surer by one
_SENT = 3  # times at most
_ALLOWED = 0.8  # s that the server allows clocks to differ

Utilities = Mapping[str, Mapping[str, float]]  # of each head and clip


@dataclass(frozen=True)
class Simulate:
    """Answer a study that is being served, as raters with a known preference would.

    Parameters
    ----------
    study
        The folder that build wrote.
    address
        Of the server.
    raters
        How many take part, all at once.
    strengths
        Of each system, NAME=NUMBER with commas between, on the scale of Bradley and Terry; others have 0.
    judge
        A scorer that has a taste, in place of the strengths: a metric whose name ends in alignment or musicality
        answers that question, otherwise the mean of all answers both.
    careless
        Share of raters who toss a coin.
    tie
        Heard differences nearer to zero are ties.
    seed
        Of what they hear.
    device
        auto, cpu or cuda, for the judge.
    """

    study: Path
    address: str = "http://127.0.0.1:8000"
    raters: int = 20
    strengths: str = ""
    judge: str = ""
    careless: float = 0.0
    tie: float = 0.1
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        refuse_below_one(self, "raters")
        if not 0 <= self.careless <= 1:
            raise InputError(f"--careless is a share from 0 to 1, got {self.careless}")
        if self.judge and self.strengths:
            raise InputError("--judge and --strengths are two ways to say what raters prefer: choose one")


@dataclass(frozen=True)
class Behaviour:
    """How a rater answers; see `Simulate`."""

    careless: bool
    tie: float


def main(options: Simulate) -> None:
    """Let them all take part and say how long the server took."""
    study, key = load_study(options.study)
    if options.judge:
        found = judged_utilities(options.study, study, key, options.judge, options.device)
    else:
        found = system_utilities(key, parse_strengths(options.strengths, key))
    behaviours = [
        Behaviour(number < round(options.careless * options.raters), options.tie)
        for number in range(options.raters)
    ]
    started = time.perf_counter()
    try:
        waits = asyncio.run(take_part(options.address, study, found, behaviours, options.seed))
    except httpx.TransportError as error:
        raise InputError(
            f"{options.address} does not answer ({error or type(error).__name__}): serve the study"
        ) from error
    seconds = time.perf_counter() - started
    median, most, nearly_all = (1000 * np.quantile(waits, share) for share in (0.5, 0.95, 0.99))
    print(
        f"{options.raters} raters at once, {len(waits)} requests in {seconds:.1f} s; a reply took "
        f"{median:.0f} ms in the median, {most:.0f} ms for 95 %, {nearly_all:.0f} ms for 99 %"
    )


def parse_strengths(text: str, key: Key) -> dict[str, float]:
    """Read ``NAME=NUMBER`` with commas between; `InputError` for a system that the study does not have."""
    found = dict.fromkeys(key.systems, 0.0)
    for part in split_names(text):
        name, _, number = part.partition("=")
        if name not in found:
            raise InputError(f"--strengths: no system {name!r}; there are {', '.join(found)}")
        try:
            found[name] = float(number)
        except ValueError as error:
            raise InputError(f"--strengths: {part!r} is not NAME=NUMBER") from error
    return found


def system_utilities(key: Key, strengths: Mapping[str, float]) -> Utilities:
    """Return for each head the utility of each clip: the strength of its system.

    A clip that several systems offer has the mean of theirs.
    """
    clean = {
        clip.source: math.fsum(strengths[system] for system in clip.systems) / len(clip.systems)
        for clip in key.clips.values()
        if clip.systems
    }
    found = {name: clean[clip.source] + _spoiling(clip) for name, clip in key.clips.items()}
    return dict.fromkeys(HEADS, found)


def judged_utilities(folder: Path, study: Study, key: Key, judge: str, device: str) -> Utilities:
    """Return for each head what a scorer says of each clip, in standard deviations over the study."""
    scorer = load_scorer(judge, device)
    prompts = {clip: name for name, trial in study.trials.items() for clip in (trial.first, trial.second)}
    asked = {
        name: prompt_of(folder, study, key, study.trials[trial].prompt) for name, trial in prompts.items()
    }
    heard = [name for name in asked if name in key.clips]
    audio = folder / BLINDED / AUDIO
    scores = scorer.score([ScoreRequest(audio / name, asked[name]) for name in heard])
    found = {}
    for head in HEADS:
        columns = [metric for metric in scorer.metrics if metric.endswith(head)] or list(scorer.metrics)
        values = np.array([[row[metric] for metric in columns] for row in scores])
        standard = ((values - values.mean(axis=0)) / np.maximum(values.std(axis=0), 1e-9)).mean(axis=1)
        found[head] = {
            name: float(value) + _spoiling(key.clips[name])
            for name, value in zip(heard, standard, strict=True)
        }
    return found


def _spoiling(clip: KeyClip) -> float:
    return 0.0 if clip.systems else _SPOILT


async def take_part(
    address: str, study: Study, utilities: Utilities, behaviours: Sequence[Behaviour], seed: int
) -> list[float]:
    """Let raters answer a study, all at once; return how long each reply took, in s."""
    waits: list[float] = []
    limits = httpx.Limits(max_connections=len(behaviours))
    async with httpx.AsyncClient(base_url=f"{address}/s/{study.id}/", limits=limits, timeout=120) as client:
        await asyncio.gather(
            *(
                _rate(client, study, utilities, behaviour, random.Random(f"{seed}-{number}"), waits)
                for number, behaviour in enumerate(behaviours)
            )
        )
    return waits


async def _rate(
    client: httpx.AsyncClient,
    study: Study,
    utilities: Utilities,
    behaviour: Behaviour,
    stream: random.Random,
    waits: list[float],
) -> None:
    secret = {"Authorization": f"Bearer {secrets.token_hex(32)}"}

    async def put(path: str, body: dict[str, Any]) -> dict[str, Any]:
        started = time.perf_counter()
        for more in reversed(range(_SENT)):
            try:
                reply = await client.put(path, json=body, headers=secret)
                break
            except httpx.TransportError:  # a connection that closed meanwhile: sent again, as the page does
                if not more:
                    raise
        waits.append(time.perf_counter() - started)
        if reply.status_code != 200:
            raise InputError(f"the server refused an answer: {reply.text[:200]}")
        return reply.json()

    await put("api/me", {"consent": True})
    right = [trial.right for trial in study.headphones]
    await put(
        "api/me/sound_check", {"heard": [stream.randrange(3) for _ in right] if behaviour.careless else right}
    )
    state = await put("api/me/practised", {})
    while turn := state["turn"]:
        heard = {name: turn[name]["needed"] for name in "ab"}
        await asyncio.sleep(max(0.0, heard["a"] + heard["b"] - _ALLOWED))
        answer: dict[str, Any] = {"trial": turn["trial"], "heard_a": heard["a"], "heard_b": heard["b"]}
        for head in HEADS:
            values = utilities[head]
            difference = values[turn["a"]["file"]] - values[turn["b"]["file"]]
            answer[head] = judgement(0.0 if behaviour.careless else difference, behaviour.tie, stream)
        state = await put(f"api/me/turns/{state['position']}", answer)


def judgement(difference: float, tie: float, stream: random.Random) -> dict[str, Any]:
    """Return what a rater says who hears a difference (of A over B) through logistic noise."""
    share = stream.uniform(1e-9, 1 - 1e-9)
    heard = difference + math.log(share / (1 - share))
    choice = "tie" if abs(heard) < tie else "a" if heard > 0 else "b"
    return {"choice": choice, "confidence": 1 + sum(abs(heard) > step for step in _SURE)}
