"""What a search leaves behind: the chosen clips, ``summary.json``, ``ranking.csv``, ``report.html``, ``run.json``.

Prompts may have different numbers of finished candidates. So there is no curve over n as for best of n, but what was
chosen, and what it cost: no number stands without its compute.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from music.durable import write_text
from music.intervals import FEWEST, Array, bootstrap_means
from music.pool import Candidate, Pool
from music.prompts import prompts_record
from music.provenance import write_run_record
from reward import RewardWeights, Scorer
from reward.scoring.candidates import hashes_of
from scaling.choose_best import ranking, write_best
from scaling.outcome import Stages, run_facts
from scaling.ranking_table import write_ranking
from scaling.report import Results
from scaling.searching.compute import Prices, Work
from scaling.searching.report import write_search_report
from scaling.searching.trail import Look, Searched
from scaling.summary import mean_entries

_TOLD = ("weights", "scorers")  # of a method, which the report tells apart


@dataclass(frozen=True)
class SearchOutcome:
    """A search that is done and scored.

    Attributes
    ----------
    config
        Options of the run.
    method
        Name of the method, and what decides what it finds; JSON.
    reward
        Weights of the metrics that choose; one that is standardised, on the scale of these candidates.
    scorers
        The reward model, then the judges.
    pool
        Pool of the clips.
    candidates
        Finished candidates of each of P prompts, one or more.
    searched
        What was found for each prompt, in the same order.
    looks
        What was seen half-way, by prompt id.
    metrics
        Metrics of all scorers by name: for each prompt those of its candidates.
    prices
        What the parts of a clip cost.
    stages
        Time that it took so far.
    parts
        Seconds that this process spent on the parts of the search; empty if they were not measured.
    reference
        What best of n brings on the same prompts, as `scaling.summary.summarise` says it by n; None if that is unknown.
    """

    config: Any
    method: Mapping[str, Any]
    reward: RewardWeights
    scorers: Sequence[Scorer]
    pool: Pool
    candidates: Sequence[Sequence[Candidate]]
    searched: Sequence[Searched]
    looks: Mapping[str, Sequence[Look]]
    metrics: Mapping[str, Sequence[Array]]
    prices: Prices
    stages: Stages
    parts: Mapping[str, float]
    reference: Mapping[str, Mapping[str, Any]] | None = None

    def write(self, folder: Path) -> str:
        """Write everything into the output folder and return what to tell the user.

        Raises
        ------
        InputError
            If a clip was changed since it was made, or the folder cannot be written.
        """
        rewards = self.rewards()
        order = [ranking(row[None])[0].tolist() for row in rewards]
        with self.stages.time("choose"):
            chosen = self._write_best(folder / "best", rewards, order)
            write_ranking(folder / "ranking.csv", self.candidates, order, {"reward": rewards, **self.metrics})
            summary = self.summary(rewards, order)
        with self.stages.time("report"):
            facts = self._facts(chosen, summary)
            results = Results(self.pool, self.candidates, rewards, self.metrics, self.reward, summary, facts)
            write_search_report(folder / "report.html", results)
        seconds: dict[str, Any] = dict(self.stages.seconds)
        if self.parts:
            seconds["of_search"] = {name: round(value, 3) for name, value in self.parts.items()}
        summary["seconds"] = seconds
        write_text(folder / "summary.json", json.dumps(summary, indent=1) + "\n")
        write_run_record(
            folder,
            self.config,
            prompts=prompts_record(
                self.config.prompts, [self.pool.prompt(row[0]) for row in self.candidates]
            ),
            method=dict(self.method),
            spec={"sha256": chosen[0].spec, **self.pool.spec(chosen[0])},
            scorers=hashes_of(self.scorers),
            reward=self.reward.record() | {"scorers": list(hashes_of(self.scorers[:1]))},
            seconds=seconds,
        )
        found, compute = summary["chosen"]["reward"], summary["compute"]
        interval = (
            "95 % {:.4g} to {:.4g}".format(*found["ci95"])
            if found["ci95"]
            else f"no interval of fewer than {FEWEST} prompts"
        )
        prompts = summary["n_prompts"]
        return (
            f"{self.method['method']} for {prompts} prompt{'s' * (prompts > 1)}: reward {found['mean']:.4g} "
            f"({interval}) at {compute['clips_per_prompt']:.3g} clips a prompt; {self.stages}\n"
            f"report: {folder / 'report.html'}"
        )

    def rewards(self) -> list[Array]:
        """Return the rewards of the candidates of each prompt."""
        ends = np.cumsum([len(row) for row in self.candidates])[:-1]
        return np.split(
            self.reward({name: np.concatenate(rows) for name, rows in self.metrics.items()}), ends
        )

    def summary(self, rewards: Sequence[Array], order: Sequence[Sequence[int]]) -> dict[str, Any]:
        """Return ``summary.json`` without its times.

        ``chosen[metric] = {"mean", "ci95"}`` of what the reward has chosen; ``single[metric]`` that of candidate 0 and
        ``gain[metric]`` the difference, paired by prompt, where every prompt has finished that one; ``finished`` how
        many candidates of a prompt were finished; ``looked_at`` how many were looked at half-way, and went on, by share
        of the work, with means of their reward and of what it is made of; ``compute.clips_per_prompt`` in finished and
        scored clips, with the work that it is made of; ``best_of_n`` of the same prompts by n, if it is known, and
        ``best_of_n_needs``: how many clips it needs for the same reward, interpolated between two n; None if it does
        not reach it.
        """
        columns = self._columns(rewards, order)
        resampled = bootstrap_means(
            np.stack([one for part in columns.values() for one in part.values()], axis=1), self.config.seed
        )
        told: dict[str, dict[str, Any]] = {}
        place = 0
        for name, part in columns.items():
            entries = mean_entries(list(part.values()), resampled[:, place : place + len(part)])
            told[name] = dict(zip(part, entries, strict=True))
            place += len(part)
        counts = [len(row) for row in self.candidates]
        best = (row.max() for row in rewards)
        return {
            **self.method,
            "n_prompts": len(self.candidates),
            "reward": self.scorers[0].name,
            **told,
            "finished": {
                "per_prompt": float(np.mean(counts)),
                "fewest": min(counts),
                "most": max(counts),
            },
            "looked_at": self._stages(),
            "compute": self._compute(),
            **self._compared(told["chosen"]["reward"]["mean"]),
            "ties": int(sum((row == top).sum() > 1 for row, top in zip(rewards, best, strict=True))),
            **({"keep": self.config.keep} if self.config.keep > 1 else {}),
            **self.reward.scales_record(),
        }

    def _columns(
        self, rewards: Sequence[Array], order: Sequence[Sequence[int]]
    ) -> dict[str, dict[str, Array]]:
        """Return what is told of each prompt, `[P]` each, by kind and metric."""
        measured: dict[str, Sequence[Array]] = {"reward": rewards, **self.metrics}
        picks = [row[0] for row in order]
        found = {"chosen": {name: _picked(values, picks) for name, values in measured.items()}}
        singles = [[one.candidate for one in row] for row in self.candidates]
        if all(0 in row for row in singles):
            places = [row.index(0) for row in singles]
            found["single"] = {name: _picked(values, places) for name, values in measured.items()}
            found["gain"] = {name: found["chosen"][name] - found["single"][name] for name in measured}
        return found

    def _stages(self) -> list[dict[str, Any]]:
        """Return what was seen at each share of the work: how many candidates, how many went on, and their means."""
        stages: dict[float, list[Look]] = {}
        for row in self.candidates:
            for look in self.looks.get(row[0].prompt_id, ()):
                stages.setdefault(look.share, []).append(look)
        return [
            {
                "share": share,
                "candidates": len(looks),
                "kept": sum(look.kept for look in looks),
                "reward": fmean(look.reward for look in looks),
                "scores": {name: fmean(look.scores[name] for look in looks) for name in looks[0].scores},
            }
            for share, looks in sorted(stages.items())
        ]

    def _compute(self) -> dict[str, Any]:
        total = sum((one.work for one in self.searched), Work())
        mean = total * (1 / len(self.searched))
        clips = self.prices.clips(mean)
        flop = None if self.prices.flop is None else clips * self.prices.flop
        return {"clips_per_prompt": clips, "flop": flop, **asdict(mean), "prices": self.prices.record()}

    def _compared(self, reached: float) -> dict[str, Any]:
        """Return what best of n brings, and how many clips it needs for a reward."""
        if self.reference is None:
            return {}
        means = [entry["reward"]["mean"] for entry in self.reference.values()]
        needs = np.interp(reached, means, [int(n) for n in self.reference]) if reached <= means[-1] else None
        return {"best_of_n": self.reference, "best_of_n_needs": None if needs is None else float(needs)}

    def _write_best(
        self, folder: Path, rewards: Sequence[Array], order: Sequence[Sequence[int]]
    ) -> list[Candidate]:
        """Write the best of each prompt, and return the first of each."""
        table: dict[str, Sequence[Array]] = {"reward": rewards, **self.metrics}
        chosen, rows, ranks = [], [], []
        for place, best in enumerate(order):
            for rank, index in enumerate(best[: self.config.keep], start=1):
                chosen.append(self.candidates[place][index])
                rows.append({name: float(values[place][index]) for name, values in table.items()})
                ranks.append(rank)
        write_best(folder, self.pool, chosen, rows, ranks if self.config.keep > 1 else None)
        return [row[best[0]] for row, best in zip(self.candidates, order, strict=True)]

    def _facts(self, chosen: Sequence[Candidate], summary: Mapping[str, Any]) -> dict[str, str]:
        compute = summary["compute"]
        parts = ", ".join(f"{name} {compute[name]:.3g}" for name in ("generation", "decoding", "scoring"))
        told = {
            "Method": ", ".join(
                _shown(name, value) for name, value in self.method.items() if name not in _TOLD
            ),
            "Compute": f"{compute['clips_per_prompt']:.3g} finished and scored clips a prompt ({parts}; prices "
            f"{self.prices.basis})",
            "Ties": str(summary["ties"]),
            "Kept": f"the best {self.config.keep} of each prompt" if self.config.keep > 1 else "",
        }
        return run_facts(
            self.config, self.reward, self.scorers, self.pool, self.candidates, chosen, told, self.stages
        )


def _shown(name: str, value: Any) -> str:
    """Return an option of a method for people; a schedule as `--schedule` takes it."""
    if isinstance(value, list):
        value = ",".join(
            "=".join(f"{part:g}" for part in one.values()) if isinstance(one, dict) else f"{one:g}"
            for one in value
        )
    return str(value) if name == "method" else f"{name} {value}"


def _picked(values: Sequence[Array], places: Sequence[int]) -> Array:
    return np.array([row[place] for row, place in zip(values, places, strict=True)])
