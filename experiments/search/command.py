"""Searches with each method at equal compute, and tells what that brings beside best of n.

    music-reward compare-searches musicgen --workers 2
    python -m experiments.search stable_audio --limit 32 --budgets 10 --seeds 1

``OUT/FAMILY`` holds a folder for each run of scaling/search.py and scaling/best_of_n.py; the same command goes on after
a kill, and with more methods, budgets or seeds.

1. Each method's options are chosen from a small grid (`experiments.search.tried`) on the prompts of --choosing, by the
   reward that they bring at --choosing_budget. ``chosen.csv`` has all that was tried.
2. The methods with these options, at each budget, and one pool for best of n are judged on the prompts of --held_out:
   by the reward, which they see, by judges, who hear only what was chosen, and by how different the clips chosen for
   all prompts are (Vendi score).
3. ``table.md`` and ``results.csv`` tell the difference of each from best of n at the compute that it has spent, paired
   by prompt, with a 95 % interval over prompts and seeds, and whether it reaches best of --target with less. Between
   two n, best of n is interpolated. ``figure.png`` draws the gains over a single clip.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.search.compared import Yardstick, measure, over_prompts
from experiments.search.options import CHOOSING, HELD_OUT, CompareSearches
from experiments.search.report import Attempt, Row, write_comparison
from experiments.search.runs import BEST_OF_N, Found, Run, found_by
from experiments.search.tried import METHODS, Options, told
from generators import load_generator
from generators.filling import refuse_prompts
from generators.registry import given_sampling
from music.durable import claim_work
from music.prompts import load_prompts
from music.provenance import claim_folder
from reward.protocol import judging
from reward.scoring.candidates import load_scorers, metric_names, refuse_unscorable
from rlhf.assessment.comparison import REWARD
from rlhf.assessment.diversity import load_encoders
from scaling.methods.protocol import BudgetTooSmallError
from scaling.searching.compute import prices_of
from scaling.searching.online import method_of

_FREE = ("methods", "budgets", "target", "limit", "choosing_limit", "seeds", "workers", "output", "device")
Key = tuple[tuple[str, object], ...]  # options as runs have them


def main(options: CompareSearches) -> None:
    """Choose options, run everything, tell what was found; what is done is not done again."""
    claim_folder(options.folder, options)
    able = _Able(options)
    fixed = {name: value for name, value in vars(options).items() if name not in _FREE}
    claim_work(options.folder, options=fixed, reward=able.reward_hash)
    yardsticks = [Run(HELD_OUT, BEST_OF_N, seed) for seed in range(options.seeds)]
    choosing = {
        name: [
            Run(CHOOSING, name, 0, _key(one), options.choosing_budget)
            for one in METHODS[name].options
            if able.to_run(name, one, options.choosing_budget)
        ]
        for name in options.names
        if len(METHODS[name].options) > 1
    }
    found = found_by(
        options,
        [*yardsticks, *(run for runs in choosing.values() for run in runs)],
        "best of n, and choosing",
    )
    tried = [
        attempt for runs in choosing.values() for attempt in _attempts({run: found[run] for run in runs})
    ]
    chosen = {one.method: one.options for one in tried if one.chosen}
    chosen |= {name: _key(METHODS[name].options[0]) for name in options.names if name not in choosing}
    cells = [
        (name, budget)
        for budget in options.numbers
        for name in options.names
        if name in chosen and able.to_run(name, dict(chosen[name]), budget)
    ]
    runs = {
        (name, budget): [Run(HELD_OUT, name, seed, chosen[name], budget) for seed in range(options.seeds)]
        for name, budget in cells
    }
    found |= found_by(options, [run for row in runs.values() for run in row], "search")
    yardstick = Yardstick.of([found[run] for run in yardsticks], options.most)
    rows = [
        Row(
            name,
            chosen[name],
            budget,
            [found[run] for run in row],
            measure([found[run] for run in row], yardstick, options.target),
        )
        for (name, budget), row in runs.items()
    ]
    write_comparison(
        options, yardstick, [found[run] for run in yardsticks], rows, tried, able.left_out, able.judged
    )


class _Able:
    """Looks, before any work, at what can be run; `InputError` for what cannot be made, scored or judged at all."""

    def __init__(self, options: CompareSearches) -> None:
        self._options = options
        choosing, held_out = (load_prompts(*options.prompts(stage)) for stage in (CHOOSING, HELD_OUT))
        scorers, _ = load_scorers(options, options.judges)
        load_encoders(options.encoders, options.device, options.dtype)
        refuse_unscorable(scorers[:1], choosing)
        refuse_unscorable(scorers, held_out)
        config = self._config("stop", {}, options.numbers[0])
        self._generator = load_generator(
            config.generator, config.backend, config.device, config.dtype, **given_sampling(config)
        )
        prompts = [*choosing, *held_out]
        refuse_prompts(self._generator, prompts, options.seconds, options.ignore_unsupported)
        self._prompt = held_out[0]
        self._prices = prices_of(config, scorers[0], self._prompt)
        self._scorer = scorers[0]
        self.reward_hash = scorers[0].hash
        #: metrics of the judges
        self.judged = [name for names in metric_names(scorers)[1:] for name in judging(names.values())]
        #: what was left out, and why
        self.left_out: list[str] = []
        for name in options.names:
            for one in METHODS[name].options:
                self.to_run(name, one, max(*options.numbers, options.choosing_budget))

    def to_run(self, name: str, given: Options, budget: float) -> bool:
        """Return whether a budget suffices for a method."""
        try:
            method_of(
                self._config(name, given, budget), self._generator, self._scorer, self._prompt, self._prices
            )
        except BudgetTooSmallError as error:
            note = f"{name} {told(given)}".strip() + f": {error}"
            self.left_out += [note] if note not in self.left_out else []
            return False
        return True

    def _config(self, name: str, given: Options, budget: float) -> Any:
        options = self._options
        return options.search(name, given, budget, 0, options.folder, HELD_OUT)


def _key(options: Options) -> Key:
    return tuple(options.items())


def _attempts(found: Mapping[Run, Found]) -> list[Attempt]:
    """Return what the options of one method have brought, those with the highest reward chosen; of equals the first."""
    means = {run: float(np.mean(one.metrics[REWARD])) for run, one in found.items()}
    best = max(means, key=lambda run: means[run], default=None)
    return [
        Attempt(
            run.method,
            run.options,
            one.clips,
            over_prompts(one.metrics[REWARD].T),
            over_prompts((one.metrics[REWARD] - found[best].metrics[REWARD]).T),
            run == best,
        )
        for run, one in found.items()
        if best is not None
    ]
