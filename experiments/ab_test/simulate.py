"""Simulated raters: they answer over HTTP as browsers do, and prefer what they are told to.

    python -m experiments.ab_test serve runs/listening_test/blinded &
    python -m experiments.ab_test simulate runs/listening_test --raters 40 --strengths "top-10=0.6,top-1=0"

They try a study and its analysis before people spend their time on it. `reward.simulated_votes` says what a rater
hears and answers. The utility of a clip is the strength of its system, or, with ``--judge``, what a scorer says of it,
in standard deviations over the study. Spoilt clips are far worse. Careless raters toss a coin.
"""

import asyncio
import math
import random
import secrets
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import httpx
import numpy as np
from tqdm import tqdm

from experiments.ab_test.analysis.agreement import clip_scores
from experiments.ab_test.study import HEADS, LISTENING, Key, KeyClip, Study, Turn, load_study
from music.command import refuse_below_one, split_names
from music.errors import InputError
from music.options import Runtime
from music.progress import progress
from reward import Scorer, load_scorer
from reward.simulated_votes import judgement, utilities_of

_SPOILT = -6.0  # utility of a clip that is drowned in noise, beside that of the clip itself
_SENT = 3  # times at most
_ALLOWED = 0.8  # s that the server allows clocks to differ

Utilities = Mapping[str, Mapping[str, float]]  # of each head and clip


@dataclass(frozen=True)
class Simulate(Runtime):
    """Answer a study that is being served, as raters with a known preference would.

    Parameters
    ----------
    study
        Folder that build wrote.
    address
        Address of the server.
    raters
        Number of raters, who take part all at once.
    strengths
        Strengths of systems, NAME=NUMBER separated by commas, on the scale of Bradley and Terry; others have 0.
    judge
        Scorer whose taste the raters have, in place of strengths: a metric whose name ends in alignment (or margin, if
        there is one) or musicality answers that question; otherwise the mean of all metrics answers both.
    careless
        Share of raters who toss a coin.
    tie_threshold
        Heard difference below which two clips are equal, on the same scale.
    seed
        Seed of what raters hear.
    """

    POSITIONALS: ClassVar = ("study",)
    LIBRARIES: ClassVar = (LISTENING,)
    RENAMED: ClassVar = {"tie": "tie_threshold"}

    study: Path
    address: str = "http://127.0.0.1:8000"
    raters: int = 20
    strengths: str = ""
    judge: str = ""
    careless: float = 0.0
    tie_threshold: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        refuse_below_one(self, "raters")
        if not 0 <= self.careless <= 1:
            raise InputError(f"--careless is a share from 0 to 1, got {self.careless}")
        if self.tie_threshold < 0:
            raise InputError(f"--tie_threshold must not be negative, got {self.tie_threshold}")
        if self.judge and self.strengths:
            raise InputError("--judge and --strengths both say what raters prefer: give one of them")


def main(options: Simulate) -> None:
    """Let them all take part and say how long the server took."""
    study, key = load_study(options.study)
    if options.judge:
        scorer = load_scorer(options.judge, options.device, options.dtype)
        found = judged_utilities(scorer, options.study, study, key)
    else:
        found = system_utilities(key, parse_strengths(options.strengths, key))
    careless = round(options.careless * options.raters)
    raters = [
        SimulatedRater(study, found, number < careless, options.tie_threshold, f"{options.seed}-{number}")
        for number in range(options.raters)
    ]
    longest = max(listening_seconds(study, schedule) for schedule in study.schedules)
    print(f"the raters listen in real time, for about {math.ceil(longest / 60)} min", file=sys.stderr)
    started = time.perf_counter()
    try:
        with progress(total=0, desc="answers", unit="answer") as bar:
            waits = asyncio.run(take_part(options.address, raters, bar))
    except (httpx.TransportError, httpx.InvalidURL, ImportError, OverflowError) as error:
        raise InputError(
            f"{options.address} does not answer ({error or type(error).__name__}): serve the study"
        ) from error
    seconds = time.perf_counter() - started
    median, most, nearly_all = (1000 * np.quantile(waits, share) for share in (0.5, 0.95, 0.99))
    print(
        f"{options.raters} raters at once, {len(waits)} requests in {seconds:.1f} s; a reply took "
        f"{median:.0f} ms in the median, {most:.0f} ms for 95 %, {nearly_all:.0f} ms for 99 %"
    )


def listening_seconds(study: Study, schedule: Sequence[Turn]) -> float:
    """Return how long a simulated rater listens, s."""
    return sum(max(0.0, sum(map(study.needed_seconds, study.shown(turn))) - _ALLOWED) for turn in schedule)


def parse_strengths(text: str, key: Key) -> dict[str, float]:
    """Read ``NAME=NUMBER``, separated by commas; `InputError` for a system that the study does not have."""
    found = dict.fromkeys(key.systems, 0.0)
    for part in split_names(text):
        name, _, number = part.partition("=")
        if name not in found:
            raise InputError(f"--strengths: no system {name!r}; there are {', '.join(found)}")
        try:
            found[name] = float(number)
        except ValueError as error:
            raise InputError(f"--strengths: {part!r} is not NAME=NUMBER") from error
        if not math.isfinite(found[name]):
            raise InputError(f"--strengths: {part!r} is no finite number")
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


def judged_utilities(scorer: Scorer, folder: Path, study: Study, key: Key) -> Utilities:
    """Return for each head what a scorer says of each clip, in standard deviations over the study."""
    scores = clip_scores(scorer, study.trials.values(), folder, study, key)
    columns = {metric: np.array([row[metric] for row in scores.values()]) for metric in scorer.metrics}
    return {
        head: {
            name: float(value) + _spoiling(key.clips[name])
            for name, value in zip(scores, values, strict=True)
        }
        for head, values in utilities_of(columns).items()
    }


def _spoiling(clip: KeyClip) -> float:
    return 0.0 if clip.systems else _SPOILT


@dataclass
class SimulatedRater:
    """One rater.

    Attributes
    ----------
    study
        The study that is served.
    utilities
        How good each clip is, by head and clip.
    careless
        Whether the rater tosses a coin.
    tie_threshold
        Heard difference below which two clips are equal.
    seed
        Seed of what the rater hears.
    waits
        How long each reply took, in s.
    """

    study: Study
    utilities: Utilities
    careless: bool
    tie_threshold: float
    seed: str
    waits: list[float] = field(default_factory=list)

    async def rate(self, client: httpx.AsyncClient, bar: "tqdm[Any] | None" = None) -> None:
        """Take part, from consent to the last turn; a bar counts the answers."""
        stream = random.Random(self.seed)
        secret = {"Authorization": f"Bearer {secrets.token_hex(32)}"}

        async def put(path: str, body: dict[str, Any]) -> dict[str, Any]:
            started = time.perf_counter()
            for more in reversed(range(_SENT)):
                try:
                    reply = await client.put(f"s/{self.study.id}/api/me{path}", json=body, headers=secret)
                    break
                except (
                    httpx.TransportError
                ):  # a connection that closed meanwhile: sent again, as the page does
                    if not more:
                        raise
            self.waits.append(time.perf_counter() - started)
            if reply.status_code != 200:
                raise InputError(f"the server refused an answer: {reply.text[:200]}")
            return _state(reply)

        await put("", {"consent": True})
        right = [trial.right for trial in self.study.headphones]
        guessed = [stream.randrange(3) for _ in right] if self.careless else right
        await put("/sound_check", {"heard": guessed})
        state = await put("/practised", {})
        if bar is not None:
            bar.total += state["total"] - state["position"]
        while turn := state["turn"]:
            heard = {name: turn[name]["needed"] for name in "ab"}
            await asyncio.sleep(max(0.0, heard["a"] + heard["b"] - _ALLOWED))
            answer: dict[str, Any] = {"trial": turn["trial"], "heard_a": heard["a"], "heard_b": heard["b"]}
            for head in HEADS:
                values = self.utilities[head]
                difference = 0.0 if self.careless else values[turn["a"]["file"]] - values[turn["b"]["file"]]
                answer[head] = judgement(difference, self.tie_threshold, stream)
            state = await put(f"/turns/{state['position']}", answer)
            if bar is not None:
                bar.update()


def _state(reply: httpx.Response) -> dict[str, Any]:
    """Return where a rater stands; `InputError` if it is not this project's server that replies."""
    try:
        found = reply.json()
    except ValueError:
        found = None
    if not isinstance(found, dict) or "turn" not in found:
        raise InputError(f"{reply.url} is no page of a listening test: it replied {reply.text[:100]!r}")
    return found


async def take_part(
    address: str, raters: Sequence[SimulatedRater], bar: "tqdm[Any] | None" = None
) -> list[float]:
    """Let raters answer a study, all at once; return how long each reply took, in s."""
    limits = httpx.Limits(max_connections=len(raters))
    async with httpx.AsyncClient(base_url=address, limits=limits, timeout=120) as client:
        await asyncio.gather(*(rater.rate(client, bar) for rater in raters))
    return [wait for rater in raters for wait in rater.waits]
