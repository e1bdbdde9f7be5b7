"""CMI-RewardBench: score its rows, write the tables of a results file, and compare two of them.

    python -m reward.benchmark                                       # the lab's CMI-RM on the lab's rows, offline
    python -m reward.benchmark --reward HaiwenXia/CMI-RM --data CMI-RewardBench/all_test.jsonl --output runs/cmi_rm
    python -m reward.benchmark --results results.jsonl --output tables
    python -m reward.benchmark --results mine.jsonl --against theirs.jsonl --output tables
    music-reward --num_processes 2 benchmark --output runs/cmi_rm      # several processes share the scoring

1. Each distinct pair of audio and prompt is scored once; `results.jsonl` holds the published rows with what the scorer
   predicts (`predictions`, `result_rows`). A killed run continues, and another `--limit` uses what is scored.
   Rows whose audio cannot be scored are reported and left out, or fatal.
2. `metrics_summary.csv` and `metrics_detail.csv` are the tables of the authors' evaluator (`metrics`).
3. `metrics_extra.csv` has what they leave out: 95 % intervals over prompts, ties, calibration, and more groups: the
   length of the audio, vocal and instrumental battles, each generator (`extra`).
4. With a second file, `comparison.csv` tells whether the difference may be chance (`comparison`).

`metrics.json` holds all of them, how often the scorer is right by how sure it is, and what became of the rows
(`coverage`); `tables` the paper's tables with a row for the scorer (`paper_tables`). `report.html` shows all of it
(`report`), and `run.json` says what ran.
"""

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from music.distributed.same_inputs import meet
from music.durable import write_text
from music.errors import InputError
from music.hashing import sha256_file
from music.intervals import FEWEST, RESAMPLES
from music.jsonl import dump_line
from music.paths import is_file
from music.processes import Processes
from music.provenance import device_name, write_run_record
from music.tables import csv_table
from reward.benchmark.comparison import COMPARISON, compare
from reward.benchmark.coverage import coverage
from reward.benchmark.extra import EXTRA, extra, reliability
from reward.benchmark.metrics import DETAIL, SUMMARY, detail, summary
from reward.benchmark.paper_tables import write_tables
from reward.benchmark.predictions import Requests, answers, with_predictions
from reward.benchmark.report import PARTS, BenchmarkResults, write_report
from reward.benchmark.result_rows import Row, checked, read_results
from reward.data.tables import table_rows
from reward.protocol import Scorer
from reward.registry import load_reward
from reward.scoring.options import RowScoring
from reward.scoring.rows import check_request_files, score_requests

RESULTS = "results.jsonl"
OUTPUT = Path("runs/benchmark")
LAB_ROWS = Path("runs/lab/sets/CMI-RewardBench/all_test.jsonl")
ERRORS = ("exclude", "fail")


@dataclass(frozen=True, kw_only=True)
class BenchmarkScoring(RowScoring):
    """What is scored of the benchmark.

    Attributes
    ----------
    data
        Rows of the benchmark (all_test.jsonl); by default those that python -m experiments.lab.judgement_sets writes.
    musicality, alignment
        Metric of the scorer that stands for it; the one of that name by default.
    """

    data: Path | None = None
    musicality: str = ""
    alignment: str = ""

    @property
    def scored_rows(self) -> Path:
        """The rows that are scored."""
        return LAB_ROWS if self.data is None else self.data


@dataclass(frozen=True)
class Benchmark(BenchmarkScoring):
    """Measure how well a scorer agrees with people on CMI-RewardBench.

    Parameters
    ----------
    output
        Folder for predictions and tables.
    results
        Rows with predictions that exist already, to measure in place of scoring --data.
    against
        Results of another scorer on the same rows, to compare with.
    name
        Name of the scorer in tables; by default --reward, and for --results the name of the file, or of the folder of
        a results.jsonl.
    on_error
        What becomes of rows whose audio cannot be scored: exclude (and report) or fail.
    """

    output: Path = OUTPUT
    results: Path | None = None
    against: Path | None = None
    name: str = ""
    on_error: str = "exclude"

    def __post_init__(self) -> None:
        """Refuse what makes no sense together."""
        if self.data is not None and self.results is not None:
            raise InputError("expected either --data, rows to score, or --results, rows with predictions")
        if self.results is not None and self.output == OUTPUT:
            raise InputError("--results needs an --output of its own for its tables")
        if self.on_error not in ERRORS:
            raise InputError(f"--on_error must be one of {', '.join(ERRORS)}, got {self.on_error!r}")
        super().__post_init__()


def main(options: Benchmark) -> int:
    """Score what has to be scored, write the tables and the report, and return 1 if rows had to be left out."""
    with meet(options, options.output, alone=True) as processes:
        against = None if options.against is None else read_results(options.against)
        failed, scorer = (0, None) if options.results is not None else predict(options, processes)
        if processes.is_main:
            results = options.results or options.output / RESULTS
            evaluate(options, results, against, _facts(options, results, scorer))
            write_run_record(
                options.output,
                options,
                scorers={} if scorer is None else {scorer.name: scorer.hash},
                left_out=failed,
                results_sha256=sha256_file(results),
                resamples=RESAMPLES,
            )
        return int(failed > 0)


def predict(options: Benchmark, processes: Processes) -> tuple[int, Scorer]:
    """Write the results file; return how many of its rows could not be scored, and what scored the others.

    Raises
    ------
    InputError
        If there are some, and --on_error is fail; or more of what the scorer measures is not better.
    """
    data = options.scored_rows
    if options.data is None and not is_file(data):
        raise InputError(
            f"there is no {data}: run python -m experiments.lab.judgement_sets --only CMI-RewardBench "
            '(it needs the extra "lab"), or name the rows to score by --data'
        )
    check_request_files(data, options.output, RESULTS)
    root = data.parent if options.root is None else options.root
    located = _test_rows(data)
    rows = checked(located)[: options.limit]
    requests = Requests(rows, root, options.output)
    if options.on_error == "fail":
        requests.refuse_missing()  # before a model is loaded
    scorer = load_reward(options)
    if not scorer.higher_is_better:
        raise InputError(f"more of what {scorer.name} measures is not better: name another --reward")
    metrics = answers(scorer.metrics, {"musicality": options.musicality, "alignment": options.alignment})
    scored = score_requests(
        requests.by_id.values(), options.output, scorer, processes, options, accumulate=True
    )
    found = [with_predictions(row, requests, scored, metrics) for row in rows]
    errors = [
        f"{place}: {row['error']}"
        for (place, _), row in zip(located[: len(rows)], found, strict=True)
        if "error" in row
    ]
    if errors and options.on_error == "fail":
        raise InputError(f"{len(errors)} of {len(rows)} rows cannot be scored, the first in {errors[0]}")
    if processes.is_main:
        write_text(options.output / RESULTS, "".join(map(dump_line, found)))
        for error in errors:
            print(f"left out: {error}", file=sys.stderr)
    return len(errors), scorer


def _test_rows(data: Path) -> list[tuple[str, Row]]:
    """Return the rows that models are tested on, and where each stands; `InputError` if there is none."""
    found = list(table_rows(data))
    located = [(place, row) for place, row in found if row.get("split") == "test"]
    if not located:
        prepared = any({"audio", "audio_a"} & row.keys() for _, row in found)
        reason = "its rows are prepared for training" if prepared else "no row has the split 'test'"
        raise InputError(
            f"{data} is not the benchmark: {reason}; --data takes CMI-RewardBench/all_test.jsonl as it is published, "
            "with split, source, prompt, audio-path, audio2 (music-reward data prepare is for training)"
        )
    return located


def evaluate(
    options: Benchmark, results: Path, against: Sequence[Row] | None, facts: Mapping[str, str]
) -> None:
    """Write tables and report of a results file, print the summary, and compare it with the rows of another one."""
    rows, output = read_results(results), options.output
    whole = summary(rows)
    if not any(line["n"] for line in whole):
        raise InputError(f"{results} holds no row of the split 'test' with a prediction")
    found = BenchmarkResults(
        options.name or (options.reward if options.results is None else _name_of(results)),
        rows,
        whole,
        detail(rows),
        extra(rows),
        reliability(rows),
        coverage(rows),
        "" if options.against is None else _name_of(options.against),
        [] if against is None else compare(rows, against),
        facts,
    )
    for part, columns in (("summary", SUMMARY), ("detail", DETAIL), ("extra", EXTRA)):
        write_text(output / f"metrics_{part}.csv", csv_table(getattr(found, part), columns))
    together = {"results": str(results), "resamples": RESAMPLES}
    together |= {part: getattr(found, part) for part in PARTS}
    write_text(output / "metrics.json", json.dumps(together, indent=1) + "\n")
    write_tables(output / "tables", found.name, found.lines, found.caution)
    print(csv_table(whole, SUMMARY), end="")
    if found.comparison:
        write_text(output / "comparison.csv", csv_table(found.comparison, COMPARISON))
        print(csv_table(found.comparison, COMPARISON), end="")
    write_report(output / "report.html", found)


def _facts(options: Benchmark, results: Path, scorer: Scorer | None) -> dict[str, str]:
    """Return what ran, for readers of the report."""
    facts = {"Rows": str(options.scored_rows if options.results is None else results)}
    if scorer is not None:
        if options.limit is not None:
            facts["Rows"] += f" (the first {options.limit})"
        facts |= {"Scorer": scorer.name, "Model's hash": scorer.hash, "Device": device_name(options.device)}
        facts["Numeric type"] = options.dtype
    facts["Hash of the results"] = sha256_file(results)
    if options.against is not None:
        facts |= {"Against": str(options.against), "Hash of the others": sha256_file(options.against)}
    intervals = f"95 %, from {RESAMPLES} resamples of prompts (seed 0); none of fewer than {FEWEST} prompts"
    return facts | {"Intervals": intervals, "Command": shlex.join(sys.argv)}


def _name_of(results: Path) -> str:
    """Return what to call the scorer of a file: its name, or that of the folder that this command wrote it to."""
    return results.absolute().parent.name if results.name == RESULTS else results.stem
