"""Looks after each round of a post-training whether its model got better, on prompts that it does not learn from."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from music.durable import write_text
from music.errors import InputError
from music.jsonl import dump_line, read_jsonl
from music.processes import Processes
from music.prompts import Prompt, load_prompts, prompts_record
from reward import Reward, Scorer, load_scorer
from rlhf.assess_report import write_assessment
from rlhf.comparison import BASE, compare
from rlhf.embeddings import audio_files, load_encoders
from rlhf.held_out import Asked, HeldOut
from rlhf.loading import load_sampler
from rlhf.options import PostTraining
from rlhf.stop_rule import fallen, watched
from scaling.judging import split_names

_FOLDER = "held_out"


class Watch:
    """Measures the start, then the model of each round; ``OUT/held_out`` has tables, frontier and report of all.

    Parameters
    ----------
    options
        Of the run, with `held_out`.
    prompts
        That it learns from.
    scorer, reward
        The reward as it is trained on.
    processes
        Who shares the work.

    Attributes
    ----------
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
        reward: Reward,
        processes: Processes,
    ) -> None:
        assert options.held_out is not None
        asked = load_prompts(options.held_out)
        known = {prompt.text for prompt in prompts}
        if shared := [prompt.id for prompt in asked if prompt.text in known]:
            raise InputError(f"--held_out {options.held_out}: prompt {shared[0]!r} is one of --prompts")
        judges = [load_scorer(name, options.device, options.dtype) for name in split_names(options.judges)]
        encoders = load_encoders(options.encoders, options.device, options.dtype)
        real = audio_files(options.real) if options.real else []
        self._options, self._processes = options, processes
        self._folder = options.output / _FOLDER
        self._held_out = HeldOut(
            self._folder,
            Asked(asked, options.held_out_n, options.seconds, options.seed, real),
            partial(load_sampler, options),
            [scorer, *judges],
            reward,
            encoders,
            options.device,
            processes,
        )
        self._names = watched(self._held_out.metrics, options.stop_on)
        self.facts: dict[str, Any] = {
            "held_out": prompts_record(options.held_out, asked),
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
            "Reward": f"{options.weights} by {options.reward}",
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
