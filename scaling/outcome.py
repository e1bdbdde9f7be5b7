"""What a best-of-n run leaves behind: the chosen clips, ``summary.json``, ``report.html``, ``run.json``."""

import json
import shlex
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from music.durable import write_text
from music.intervals import FEWEST, Array
from music.pool import Candidate, Pool
from music.prompts import prompts_record
from music.provenance import device_name, write_run_record
from reward import RewardWeights, Scorer
from reward.protocol import twins_of
from reward.scoring.candidates import hashes_of
from scaling.browsing.favourites import Favourite, favourite_places
from scaling.choose_best import ranking, write_best
from scaling.ranking_table import write_ranking
from scaling.report import Results, write_report
from scaling.summary import summarise


class Stages:
    """Wall time by stage.

    Attributes
    ----------
    seconds : dict of str to float
        Seconds by stage, in order.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def time(self, name: str) -> Iterator[None]:
        """Time the block; one that raises is not recorded."""
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 3)

    def __str__(self) -> str:
        """Return all stages on one line."""
        return ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.seconds.items())


@dataclass(frozen=True)
class Outcome:
    """A run that is generated and scored.

    Attributes
    ----------
    config
        Options of the run, a dataclass with at least `prompts`, `seed` and `device`.
    reward
        Weights of the metrics that choose; one that is standardised, on the scale of these candidates.
    scorers
        The reward model, then the judges.
    pool
        Pool of the clips.
    candidates
        N candidates for each of P prompts.
    metrics
        Metrics of all scorers by name, `[P, N]` each.
    stages
        Time that it took so far.
    favourites
        Candidates that people prefer to the reward's choice, by prompt id; None if nobody was asked.
    keep
        Number of candidates of each prompt that ``best/`` holds.
    """

    config: Any
    reward: RewardWeights
    scorers: Sequence[Scorer]
    pool: Pool
    candidates: Sequence[Sequence[Candidate]]
    metrics: Mapping[str, Array]
    stages: Stages
    favourites: Mapping[str, Favourite] | None = None
    keep: int = 1

    def write(self, folder: Path) -> str:
        """Write everything into the output folder and return what to tell the user.

        Raises
        ------
        InputError
            If a clip was changed since it was made, or the folder cannot be written.
        """
        rewards = self.rewards()
        with self.stages.time("choose"):
            order = self._order(rewards)
            chosen = self._write_best(folder / "best", rewards, order)
            write_ranking(folder / "ranking.csv", self.candidates, order, {"reward": rewards, **self.metrics})
            summary: dict[str, Any] = {
                "n_prompts": len(self.candidates),
                "n": rewards.shape[1],
                "reward": self.scorers[0].name,
                **summarise(rewards, self.metrics, self.config.seed, twins_of(self.scorers)),
                **self._by_hand(chosen),
                **({"keep": self.keep} if self.keep > 1 else {}),
                **self.reward.scales_record(),
            }
        with self.stages.time("report"):
            facts = self._facts(chosen, summary)
            results = Results(self.pool, self.candidates, rewards, self.metrics, self.reward, summary, facts)
            write_report(folder / "report.html", results)
        summary["seconds"] = self.stages.seconds
        write_text(folder / "summary.json", json.dumps(summary, indent=1) + "\n")
        write_run_record(
            folder,
            self.config,
            prompts=prompts_record(
                self.config.prompts, [self.pool.prompt(row[0]) for row in self.candidates]
            ),
            spec={"sha256": chosen[0].spec, **self.pool.spec(chosen[0])},
            scorers=hashes_of(self.scorers),
            reward=self.reward.record() | {"scorers": list(hashes_of(self.scorers[:1]))},
            seconds=self.stages.seconds,
        )
        gain, prompts = summary["gain"]["reward"], summary["n_prompts"]
        interval = (
            "95 % {:+.4g} to {:+.4g}".format(*gain["ci95"])
            if gain["ci95"]
            else f"no interval of fewer than {FEWEST} prompts"
        )
        return (
            f"best of {summary['n']} for {prompts} prompt{'s' * (prompts > 1)}: gain in reward {gain['mean']:+.4g} "
            f"({interval}); {self.stages}\n{self._told_by_hand(summary)}"
            f"report: {folder / 'report.html'}"
        )

    def rewards(self) -> Array:
        """Return the reward of every candidate, `[P, N]`: the weighted sum of metrics of the reward model."""
        return self.reward(self.metrics)

    def _order(self, rewards: Array) -> NDArray[np.int64]:
        """Return the candidates of each prompt from the best to the worst, `[P, N]`, favourites first."""
        order = ranking(rewards)
        for row, favourite in favourite_places(self.favourites or {}, self.candidates).items():
            order[row] = [favourite, *(index for index in order[row] if index != favourite)]
        return order

    def _write_best(self, folder: Path, rewards: Array, order: NDArray[np.int64]) -> list[Candidate]:
        """Write the best of each prompt, and return the first of each."""
        by_hand = favourite_places(self.favourites or {}, self.candidates)
        table = {"reward": rewards, **self.metrics}
        chosen, rows, ranks = [], [], []
        for place, (candidates, best) in enumerate(zip(self.candidates, order, strict=True)):
            for rank, index in enumerate(best[: self.keep], start=1):
                row: dict[str, Any] = {name: float(values[place, index]) for name, values in table.items()}
                if self.favourites is not None:
                    row["chosen_by"] = "hand" if by_hand.get(place) == index else "reward"
                chosen.append(candidates[index])
                rows.append(row)
                ranks.append(rank)
        write_best(folder, self.pool, chosen, rows, ranks if self.keep > 1 else None)
        return chosen[:: self.keep]

    def _by_hand(self, chosen: Sequence[Candidate]) -> dict[str, Any]:
        """Return what ``summary.json`` says of favourites, if they were asked for."""
        if self.favourites is None:
            return {}
        wanted = [(one, self.favourites[one.prompt_id]) for one in chosen if one.prompt_id in self.favourites]
        return {
            "by_hand": {one.prompt_id: one.candidate for one, favourite in wanted if favourite.is_of(one)},
            # not among the candidates of this run, or of other audio
            "favourites_left_out": [one.prompt_id for one, favourite in wanted if not favourite.is_of(one)],
        }

    def _told_by_hand(self, summary: Mapping[str, Any]) -> str:
        if self.favourites is None:
            return ""
        left_out = summary["favourites_left_out"]
        reason = "not among these candidates, or of other audio than now"
        return f"best/: {len(summary['by_hand'])} of {summary['n_prompts']} chosen by hand" + (
            f"; {len(left_out)} favourites left out ({reason}): {', '.join(left_out)}\n" if left_out else "\n"
        )

    def _facts(self, chosen: Sequence[Candidate], summary: Mapping[str, Any]) -> dict[str, str]:
        by_hand = (f"{name} (candidate {index})" for name, index in summary.get("by_hand", {}).items())
        told = {
            "Ties": str(summary["ties"]),
            "Kept": f"the best {self.keep} of each prompt" if self.keep > 1 else "",
            "Chosen by hand": ", ".join(by_hand),
        }
        return run_facts(
            self.config, self.reward, self.scorers, self.pool, self.candidates, chosen, told, self.stages
        )


def run_facts(
    config: Any,
    reward: RewardWeights,
    scorers: Sequence[Scorer],
    pool: Pool,
    candidates: Sequence[Sequence[Candidate]],
    chosen: Sequence[Candidate],
    told: Mapping[str, str],
    stages: Stages,
) -> dict[str, str]:
    """Return what a report says of its run, label and value.

    Parameters
    ----------
    config, reward, scorers, pool, candidates, stages
        See `Outcome`.
    chosen
        The first choice of each prompt.
    told
        What else there is to say; what is empty is left out.
    """
    candidate = chosen[0]
    spec = pool.spec(candidate)
    options = ("steps", "guidance", "negative_prompt", "temperature", "top_k", "continuation", "dtype")
    sampling = {name: spec[name] for name in options if spec.get(name, "") != ""}
    judges = [f"{scorer.name} ({', '.join(scorer.metrics)})" for scorer in scorers[1:]]
    counts = Counter(one.system for row in candidates for one in row if one.system)
    wins = Counter(one.system for one in chosen)
    facts = {
        "Generator": candidate.generator,
        "Reward": scorers[0].name,
        "Standardised": ", ".join(
            f"{name} (mean {scale.mean:.4g}, standard deviation {scale.spread:.4g})"
            for name, scale in reward.scales.items()
        ),
        "Judges": ", ".join(judges),
        "Prompts": f"{config.prompts} ({len(candidates)})",
        "Systems chosen": ", ".join(
            f"{system} {wins[system]} (of {count} clips)" for system, count in counts.items()
        ),
        "Clips": f"{candidate.seconds:g} s at {candidate.sample_rate} Hz",
        "Sampling": ", ".join(f"{name} {value}" for name, value in sampling.items()),
        "Seed": str(config.seed),
        "Spec": candidate.spec,
        "Reward model": scorers[0].hash,
        **told,
        "Time": str(stages),
        "Device": device_name(config.device),
        "Command": shlex.join(sys.argv),
    }
    return {label: value for label, value in facts.items() if value}
