"""Whether a reward model orders clips in bfloat16 as it does in float32.

    python -m experiments.benchmarks.numeric_types rows.jsonl
    python -m experiments.benchmarks.numeric_types runs/benchmark/requests.jsonl --reward HaiwenXia/CMI-RM --device cuda

The rows are those of `reward.score` (`requests.jsonl`, which `reward.benchmark` writes, is such a file). Every clip is
scored in both types. For each metric it prints Spearman's correlation of the two, with a 95 % interval over prompts,
and the largest difference between the two scores of a clip.
"""

import json
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from music.command import run
from music.errors import InputError
from music.intervals import estimate_from, resample_weights
from music.jsonl import read_jsonl
from music.paths import check_file
from reward.benchmark.extra import line_of
from reward.benchmark.metrics import correlations
from reward.benchmark.weighted_correlations import correlations_of_resamples
from reward.registry import load_scorer
from reward.scoring.rows import batch_on, score_rows

_DTYPES = ("float32", "bfloat16")


@dataclass(frozen=True)
class NumericTypes:
    """Tell whether a reward model orders clips in bfloat16 as in float32.

    Parameters
    ----------
    input
        JSON Lines with the fields id, audio, text, lyrics and reference; paths are relative to the file.
    reward
        Reward model: a name (lab-cmi-rm), hub id (HaiwenXia/CMI-RM), folder, or module:Class.
    device
        Device of the models: auto, cpu, cuda, cuda:1 ...; auto is the GPU if there is one.
    workers
        Threads that decode the audio ahead of the model.
    """

    POSITIONALS: ClassVar = ("input",)

    input: Path
    reward: str = "lab-cmi-rm"
    device: str = "auto"
    workers: int = 2


def main(options: NumericTypes) -> int:
    """Score twice and print what was found as JSON; return 1 if clips had to be left out."""
    check_file(options.input, "input")
    with tempfile.TemporaryDirectory() as folder:
        scored = [_scored(options, dtype, Path(folder)) for dtype in _DTYPES]
    both = [pair for pair in zip(*scored, strict=True) if not any("error" in row for row in pair)]
    if not both:
        raise InputError(f"none of the {len(scored[0])} clips of {options.input} can be scored")
    metrics = load_scorer(options.reward, options.device).metrics
    report = {metric: _compared(metric, both) for metric in metrics}
    print(json.dumps({"reward": options.reward, "left_out": len(scored[0]) - len(both), **report}, indent=1))
    return int(len(both) < len(scored[0]))


def _scored(options: NumericTypes, dtype: str, folder: Path) -> list[dict[str, Any]]:
    output = folder / f"{dtype}.jsonl"
    scorer = load_scorer(options.reward, options.device, dtype)
    score_rows(options.input, output, scorer, batch=batch_on(options.device), workers=options.workers)
    return [row for _, row in read_jsonl(output)]


def _compared(metric: str, both: list[tuple[dict[str, Any], dict[str, Any]]]) -> dict[str, Any]:
    """Return how the scores of two numeric types agree in one metric."""
    values = np.array([[row[metric] for row in pair] for pair in both], float)
    prompts = [tuple(row.get(name) or "" for name in ("text", "lyrics", "reference")) for row, _ in both]
    whole = correlations(list(map(tuple, values)), ("SRCC",))["SRCC"]
    resampled = correlations_of_resamples(values, resample_weights(prompts))["SRCC"]
    found = estimate_from(math.nan if whole is None else whole, resampled, len(values), len(set(prompts)))
    return {**line_of("SRCC", found), "largest_difference": float(np.abs(np.diff(values)).max())}


if __name__ == "__main__":
    run(main, NumericTypes)
