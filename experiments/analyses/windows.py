"""How much of a clip a scorer has to hear (appendix F.2 of the paper).

    python -m experiments.analyses windows --reward HaiwenXia/CMI-RM --data CMI-RewardBench/all_test.jsonl

1. The benchmark is scored three times, by `first10:R`, `mean10:R` and `first120:R` (`reward.baselines.windowed`), into
   OUTPUT/first10, OUTPUT/mean10 and OUTPUT/first120, each with the `results.jsonl` of `reward.benchmark`. A killed run
   continues; rows that cannot be scored in one of them are left out of all.
2. `people.csv`: by data set, task and length of the audio (the mean of the two clips of a pair), how well each window
   agrees with people, and its difference to first120, paired. For pairs that is the authors' accuracy (ACC); for mean
   opinions the linear correlation (LCC), and the root mean square error of 2 tanh(a s + b) + 3 (RMSE). CMI-RM drops
   a and b after training, so both are fitted here, by least squares to the scores of first120 of all rows of the data
   set, and serve all windows; on few rows this flatters first120.
3. `windows.csv`: the scores of the windows beside each other, of every distinct clip and prompt: LCC, RMSE, and RMSE in
   standard deviations of the scores of first120 (RMSE/SD).

`table.md` and `figure.png` show both; all intervals are 95 %, over prompts.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from experiments.analyses.window_measures import ALL, shortest_of, side_by_side, with_people
from experiments.figures import COLOURS, drawing, shown, write_report
from music.distributed.same_inputs import meet
from music.errors import InputError
from music.intervals import RESAMPLES
from music.provenance import claim_folder
from music.tables import markdown_table
from reward.baselines.windowed import WINDOWS
from reward.benchmark.command import RESULTS, Benchmark, BenchmarkScoring, predict
from reward.benchmark.metrics import Line
from reward.benchmark.result_rows import read_results

PEOPLE = ("dataset", "task", "duration", "metric", "window", "value", "low", "high", "n", "prompts", "difference",
          "difference_low", "difference_high")  # fmt: skip
BESIDE = ("task", "duration", "metric", "windows", "value", "low", "high", "n", "prompts")
_PANELS = 3  # side by side


@dataclass(frozen=True)
class Windows(BenchmarkScoring):
    """Measure how much of a clip a scorer has to hear.

    Parameters
    ----------
    output
        Folder for scores, tables and figure.
    seed
        Seed of the resampling.
    """

    output: Path = Path("runs/analyses/windows")
    seed: int = 0

    def scoring(self, window: str) -> Benchmark:
        """Return how the benchmark is scored in a window."""
        shared = {field.name: getattr(self, field.name) for field in fields(BenchmarkScoring)}
        return Benchmark(self.output / window, **shared | {"reward": f"{window}:{self.reward}"})


def main(options: Windows) -> int:
    """Score, write tables and figure, and return 1 if rows had to be left out; every process of a run calls it."""
    with meet(options, options.output) as processes:
        claim_folder(options.output, options)
        failed = max(predict(options.scoring(window), processes)[0] for window in WINDOWS)
        if processes.is_main:
            heard = [read_results(options.output / window / RESULTS) for window in WINDOWS]
            rows = [both for both in zip(*heard, strict=True) if not any("error" in row for row in both)]
            people, beside = with_people(rows, options.seed), side_by_side(rows, options.seed)
            if not beside:
                raise InputError(
                    f"{options.scored_rows} holds no row of the split 'test' whose audio can be scored"
                )
            tables = {"people": (people, PEOPLE), "windows": (beside, BESIDE)}
            write_report(
                options.output, options, tables, _page(people, beside, options, len(rows)), left_out=failed
            )
            _draw(options.output / "figure.png", people, beside)
        return int(failed > 0)


Groups = Mapping[str, Mapping[str, Mapping[str, Line]]]  # by what is measured, what is heard, and length


def _page(people: Sequence[Line], beside: Sequence[Line], options: Windows, rows: int) -> str:
    note = (
        f"{rows} rows of {options.scored_rows}, scored by {options.reward}; 95 % intervals over prompts ({RESAMPLES} "
        f"resamples, seed {options.seed})."
    )
    return (
        "## How much of a clip is heard\n\n"
        + _by_length(_grouped(people, "window"))
        + "\nThe scores of the windows beside each other, of every distinct clip and prompt:\n\n"
        + _by_length(_grouped(beside, "windows"))
        + f"\n{note}\n"
    )


def _grouped(lines: Sequence[Line], heard: str) -> Groups:
    found: dict[str, dict[str, dict[str, Line]]] = {}
    for line in lines:
        measured = f"{line.get('dataset') or ''} {line['task']}, {line['metric']}".strip()
        found.setdefault(measured, {}).setdefault(str(line[heard]), {})[str(line["duration"])] = line
    return found


def _lengths(groups: Groups) -> list[str]:
    found = {name for group in groups.values() for by_length in group.values() for name in by_length}
    return sorted(found, key=shortest_of)


def _by_length(groups: Groups) -> str:
    """Return a table with a row for each window of what is measured, and a column for each length."""
    lengths = _lengths(groups)
    rows = []
    for measured, group in groups.items():
        first = next(iter(group.values()))
        rows.append([measured, "n", *(str(first[name]["n"]) if name in first else "" for name in lengths)])
        for heard, found in group.items():
            rows.append(["", heard, *(shown(found[name]) if name in found else "" for name in lengths)])
    return markdown_table(["", "heard", *(name if name == ALL else f"{name} s" for name in lengths)], rows)


def _draw(path: Path, people: Sequence[Line], beside: Sequence[Line]) -> None:
    """Draw a panel for each measure, in it a dot with its interval for each window and length."""
    near = _grouped([line for line in beside if line["metric"] != "RMSE"], "windows")
    groups = {**_grouped(people, "window"), **{f"between windows: {name}": near[name] for name in near}}
    lines = math.ceil(len(groups) / _PANELS)
    with drawing(path, lines, _PANELS, (4 * _PANELS, 2.6 * lines)) as axes:
        for axis in axes.flat[len(groups) :]:
            axis.set_axis_off()
        for axis, (measured, group) in zip(axes.flat, groups.items(), strict=False):
            lengths = _lengths({measured: group})
            for place, (heard, found) in enumerate(group.items()):
                _draw_window(
                    axis, [found.get(name) for name in lengths], (place - 1) * 0.2, COLOURS[place], heard
                )
            axis.set_xticks(range(len(lengths)), lengths, fontsize=7)
            axis.set_xlim(-0.5, len(lengths) - 0.5)
            axis.set_title(measured, fontsize=9)
            axis.legend(fontsize=6)


def _draw_window(axis: Any, lines: Sequence[Line | None], aside: float, colour: str, label: str) -> None:
    for at, line in enumerate(lines):
        if line is not None and line["low"] is not None:
            axis.plot([at + aside] * 2, [line["low"], line["high"]], color=colour, linewidth=1.5)
    known = [
        (at + aside, line["value"]) for at, line in enumerate(lines) if line and line["value"] is not None
    ]
    if known:
        axis.plot(*zip(*known, strict=True), "o", color=colour, markersize=4, label=label)
