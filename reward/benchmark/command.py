"""Scores the benchmark, writes the tables of a results file, and compares two of them."""

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from music.command import refuse_below_one
from music.durable import write_text
from music.errors import InputError
from music.hashing import sha256_file
from music.intervals import FEWEST, RESAMPLES, wilson_interval
from music.jsonl import dump_line, read_jsonl
from music.processes import Processes
from music.provenance import device_name, write_run_record
from reward.benchmark.comparison import COMPARISON, compare
from reward.benchmark.coverage import coverage
from reward.benchmark.extra import EXTRA, extra, judged_pairs
from reward.benchmark.metrics import DETAIL, PREFERENCE_TASKS, SUMMARY, Line, detail, summary, table, tested
from reward.benchmark.paper_tables import all_lines, caution, write_tables
from reward.benchmark.predictions import answers, contents_of, requests_of, with_predictions
from reward.benchmark.report import Findings, write_report
from reward.benchmark.result_rows import Row, checked, read_results
from reward.bradley_terry import reliability_of
from reward.data.tables import table_rows
from reward.protocol import Scorer
from reward.registry import load_scorer
from reward.scoring.rows import batch_on, score_rows

RESULTS = "results.jsonl"
OUTPUT = Path("runs/benchmark")
LAB_ROWS = Path("runs/lab/sets/CMI-RewardBench/all_test.jsonl")
ERRORS = ("exclude", "fail")


@dataclass(frozen=True)
class Benchmark:
    """Measure how well a scorer agrees with people on CMI-RewardBench.

    Parameters
    ----------
    output
        Folder for predictions and tables.
    name
        What tables call the scorer; by default as --reward does, and for --results after the file, or the folder of a
        results.jsonl.
    data
        The benchmark's rows (all_test.jsonl), which are scored; by default those of the lab, as
        python -m experiments.lab.judgement_sets writes them.
    root
        Folder that paths in the rows are relative to; that of the rows by default.
    results
        Rows with predictions that are there already, in place of `data`.
    against
        Another scorer's results on the same rows, to compare with.
    reward
        The scorer, as in reward.score.
    checkpoint
        Handed to the class of a module:Class.
    musicality, alignment
        The scorer's metric that answers it; that of the same name by default.
    on_error
        What becomes of rows whose audio cannot be scored: exclude (and tell) or fail.
    limit
        Only the first so many rows; what an earlier run scored beyond them stays for the next.
    device
        auto, cpu or cuda.
    dtype
        float32 or bfloat16.
    workers
        Threads that decode audio ahead of the model.
    """

    output: Path = OUTPUT
    data: Path | None = None
    root: Path | None = None
    results: Path | None = None
    against: Path | None = None
    name: str = ""
    reward: str = "lab-cmi-rm"
    checkpoint: str | None = None
    musicality: str = ""
    alignment: str = ""
    on_error: str = "exclude"
    limit: int | None = None
    device: str = "auto"
    dtype: str = "float32"
    workers: int = 2

    def __post_init__(self) -> None:
        """Refuse what makes no sense together."""
        if self.data is not None and self.results is not None:
            raise InputError("expected either --data, rows to score, or --results, rows with predictions")
        if self.results is not None and self.output == OUTPUT:
            raise InputError("--results needs an --output of its own for its tables")
        if self.on_error not in ERRORS:
            raise InputError(f"--on_error must be one of {', '.join(ERRORS)}, got {self.on_error!r}")
        if self.workers < 0:
            raise InputError(f"--workers must be at least 0, got {self.workers}")
        refuse_below_one(self, "limit")

    @property
    def scored_rows(self) -> Path:
        """The rows that are scored."""
        return LAB_ROWS if self.data is None else self.data


def main(options: Benchmark) -> int:
    """Score what is to be scored, write the tables and the report, and return 1 if rows had to be left out."""
    against = None if options.against is None else read_results(options.against)
    processes = Processes()
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
    processes.close()
    return int(failed > 0)


def predict(options: Benchmark, processes: Processes) -> tuple[int, Scorer]:
    """Write the results file; return how many of its rows could not be scored, and what scored the others.

    Raises
    ------
    InputError
        If there are some and they shall not be left out.
    """
    data = options.scored_rows
    if options.data is None and not data.is_file():
        raise InputError(
            f"there is no {data}: run python -m experiments.lab.judgement_sets --only CMI-RewardBench "
            '(it needs the extra "lab"), or say by --data what to score'
        )
    root = data.parent if options.root is None else options.root
    located = [(where, row) for where, row in table_rows(data) if row.get("split") == "test"]
    rows = checked(located)[: options.limit]
    contents = contents_of(rows, root, options.output)
    requests, asked = requests_of(rows, root, contents), options.output / "requests.jsonl"
    if options.on_error == "fail":
        _refuse_missing(requests, contents)
    own = {} if options.checkpoint is None else {"checkpoint": options.checkpoint}
    scorer = load_scorer(options.reward, options.device, options.dtype, **own)
    metrics = answers(scorer.metrics, {"musicality": options.musicality, "alignment": options.alignment})
    if processes.is_main:
        write_text(asked, "".join(map(dump_line, requests.values())))
    processes.barrier()
    scores = options.output / "scores.jsonl"
    batch = batch_on(options.device)
    score_rows(asked, scores, scorer, processes, batch, options.workers, accumulate=True)
    scored = {row["id"]: row for _, row in read_jsonl(scores)}
    found = [with_predictions(row, root, contents, scored, metrics) for row in rows]
    errors = [
        f"{where}: {row['error']}"
        for (where, _), row in zip(located[: len(rows)], found, strict=True)
        if "error" in row
    ]
    if errors and options.on_error == "fail":
        raise InputError(f"{len(errors)} of {len(rows)} rows cannot be scored, the first in {errors[0]}")
    if processes.is_main:
        write_text(options.output / RESULTS, "".join(map(dump_line, found)))
        for error in errors:
            print(f"left out: {error}", file=sys.stderr)
    return len(errors), scorer


def _refuse_missing(requests: Mapping[str, Mapping[str, str]], contents: Mapping[str, str]) -> None:
    """`InputError` if a file that is to be scored, or referred to, does not exist; before a model is loaded."""
    needed = dict.fromkeys(
        one[name] for one in requests.values() for name in ("audio", "reference") if name in one
    )
    missing = [path for path in needed if not contents[path]]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(needed)} files do not exist, the first {missing[0]}: "
            "put them there, or leave their rows out by --on_error exclude"
        )


def evaluate(
    options: Benchmark, results: Path, against: Sequence[Row] | None, facts: Mapping[str, str]
) -> None:
    """Write tables and report of a results file, print the summary, and compare it with other results.

    Parameters
    ----------
    options
        Of the command.
    results
        The file.
    against
        Rows of the other one.
    facts
        What ran, for the report.
    """
    rows, output = read_results(results), options.output
    name = options.name or (options.reward if options.results is None else _name_of(results))
    whole = summary(rows)
    if not any(line["n"] for line in whole):
        raise InputError(f"{results} holds no row of the split 'test' with a prediction")
    parts, more = detail(rows), extra(rows)
    for part, lines, columns in (
        ("summary", whole, SUMMARY),
        ("detail", parts, DETAIL),
        ("extra", more, EXTRA),
    ):
        write_text(output / f"metrics_{part}.csv", table(lines, columns))
    reliability, counted = _reliability(rows), coverage(rows)
    together = {
        "results": str(results),
        "resamples": RESAMPLES,
        "summary": whole,
        "detail": parts,
        "extra": more,
        "reliability": reliability,
        "coverage": counted,
    }
    write_text(output / "metrics.json", json.dumps(together, indent=1) + "\n")
    write_tables(output / "tables", name, all_lines(whole, parts, more), caution(rows, whole))
    print(table(whole, SUMMARY), end="")
    compared = [] if against is None else compare(rows, against)
    if compared:
        write_text(output / "comparison.csv", table(compared, COMPARISON))
        print(table(compared, COMPARISON), end="")
    other = "" if options.against is None else _name_of(options.against)
    findings = Findings(name, rows, whole, parts, more, reliability, counted, other, compared, facts)
    write_report(output / "report.html", findings)


def _facts(options: Benchmark, results: Path, scorer: Scorer | None) -> dict[str, str]:
    """Return what ran, for people."""
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


def _reliability(rows: list[Row]) -> list[Line]:
    """Return how often the scorer is right by how sure it is (`reliability_of`), for each task with pairs.

    `low` and `high` are the Wilson interval of `right`.
    """
    found: list[Line] = []
    for dataset, tasks in PREFERENCE_TASKS.items():
        for task in tasks:
            known = [
                (pair.gap, pair.gold)
                for pair in judged_pairs(tested(rows)[dataset], task)
                if pair.gap is not None
            ]
            bins = reliability_of([gap for gap, _ in known], [label for _, label in known])
            for one in bins:
                low, high = wilson_interval(one.right * one.pairs, one.pairs)
                found.append({"dataset": dataset, "task": task, **vars(one), "low": low, "high": high})
    return found
