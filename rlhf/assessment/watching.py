"""Looks after each round of a post-training whether its model got better, on prompts that it does not learn from.

The last round is compared with the best one before it by each judge's metric, the start among them, paired by prompt
and candidate: where the 95 % interval of the difference lies wholly below 0 and the reward is higher than it was then,
the judge no longer believes the reward (arXiv 2210.10760 has the curves), and the training ends. With fewer prompts
than intervals need (`music.intervals.FEWEST`) nothing is known, and nothing stops.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from music.command import split_names
from music.distributed.same_inputs import agree_on_prompts
from music.durable import write_text
from music.errors import InputError
from music.jsonl import dump_line, read_jsonl
from music.processes import Processes
from music.prompts import Prompt, load_prompts, prompts_record
from reward import RewardWeights, Scorer, load_scorer
from rlhf.assessment.comparison import BASE, JUDGE, REWARD, Measured, Metric, compare, difference
from rlhf.assessment.held_out import HeldOut
from rlhf.assessment.report import write_assessment
from rlhf.options import PostTraining


def watched(metrics: Sequence[Metric], names: str | None) -> list[str]:
    """Return which judges' metrics end a training.

    Parameters
    ----------
    metrics
        All metrics that are measured.
    names
        Names of metrics, separated by commas; those of all independent judges if None.

    Raises
    ------
    InputError
        If a name is no metric of a judge.
    """
    judges = {one.name: one.independent for one in metrics if one.kind == JUDGE}
    if names is None:
        return [name for name, independent in judges.items() if independent]
    for name in split_names(names):
        if name not in judges:
            raise InputError(
                f"--stop_on {name}: expected metrics of --judges, which are {', '.join(judges) or 'none'}"
            )
    return split_names(names)


def fallen(models: Sequence[Measured], names: Sequence[str], seed: int = 0) -> str | None:
    """Return why training should end with the last of some models; None if it should not.

    Parameters
    ----------
    models
        The start, then the model of each round.
    names
        Metrics that are watched.
    seed
        Seed of the resampling.
    """
    *earlier, last = models
    for name in names:
        known = [one for one in earlier if np.isfinite(one.metrics[name]).any()]
        if not known:
            continue
        best = max(known, key=lambda one: float(np.nanmean(one.metrics[name])))
        judged, rewarded = (difference(last, best, metric, seed=seed) for metric in (name, REWARD))
        if judged.high < 0 < rewarded.value:
            return (
                f"{name} of {last.name} is {judged:+.4g} against {best.name}, while the reward is "
                f"{rewarded.value:+.4g}"
            )
    return None


_FOLDER = "held_out"


class Watch:
    """Measures the start, then the model of each round; ``OUT/held_out`` has tables, frontier and report of all.

    Parameters
    ----------
    options
        Options of the run, with `held_out`.
    prompts
        Prompts that it learns from.
    scorer, reward
        The reward as it is trained on.
    processes
        Processes that share the work.

    Attributes
    ----------
    prompts
        The held-out prompts.
    facts
        What decides its numbers.

    Raises
    ------
    InputError
        If held-out prompts are learned from, or a judge, encoder or metric is not there.
    """

    def __init__(
        self,
        options: PostTraining,
        prompts: Sequence[Prompt],
        scorer: Scorer,
        reward: RewardWeights,
        processes: Processes,
    ) -> None:
        assert options.held_out is not None
        self.prompts = held_out = load_prompts(options.held_out)
        agree_on_prompts(processes, held_out)
        known = {prompt.text for prompt in prompts}
        if shared := [prompt.id for prompt in held_out if prompt.text in known]:
            raise InputError(f"--held_out {options.held_out}: prompt {shared[0]!r} is one of --prompts")
        judges = [load_scorer(name, options.device, options.dtype) for name in split_names(options.judges)]
        self._options, self._processes = options, processes
        self._folder, self._title = options.output / _FOLDER, reward.title
        n, scorers = options.held_out_n, [scorer, *judges]
        self._held_out = HeldOut(self._folder, options, held_out, n, scorers, reward, processes)
        self._names = watched(self._held_out.metrics, options.stop_on)
        self.facts: dict[str, Any] = {
            "held_out": prompts_record(options.held_out, held_out),
            "judges": {judge.name: judge.hash for judge in judges},
        }

    def start(self) -> None:
        """Measure the model that the training begins with."""
        self._held_out.measure(BASE, self._options.generator)

    def has_fallen(self, index: int, model: Path) -> bool:
        """Measure the model of a round, write what was found, and return whether the training ends before it."""
        name, seed, held_out = f"round_{index}", self._options.seed, self._held_out
        held_out.measure(name, model)
        reason = fallen(held_out.measured, self._names, seed)
        if self._processes.is_main:
            lines = compare(held_out.measured, held_out.metrics, seed=seed)
            write_assessment(self._folder, lines, self._told())
            moved = {
                line.metric.name: line.difference.value
                for line in lines
                if line.model == name and line.difference is not None and np.isfinite(line.difference.value)
            }
            row = {"round": index, "held_out": moved} | ({"stopped": reason} if reason else {})
            write_text(self._folder / f"{name}.json", dump_line(row))
            if reason:
                print(f"the training ends, and the model from before round {index} is kept: {reason}")
        return reason is not None

    def _told(self) -> dict[str, str]:
        options = self._options
        return {
            "Base": options.generator,
            "Algorithm": options.algorithm,
            "Reward": f"{self._title} by {options.reward}",
            "Judges": options.judges or "none",
            "Prompts": f"{options.held_out}, {options.held_out_n} clips of {options.seconds:g} s each",
            "Ends training": ", ".join(self._names) or "nothing",
            "Seed": str(options.seed),
            "Command": shlex.join(sys.argv),
        }


def held_out_row(options: PostTraining, index: int) -> list[dict[str, Any]]:
    """Return what was found after a round: differences from the start, and ``stopped`` if a judge fell."""
    path = options.output / _FOLDER / f"round_{index}.json"
    return [row for _, row in read_jsonl(path)] if path.exists() else []
