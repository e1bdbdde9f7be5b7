"""Answers of a judge, and predictions for a benchmark, that the version before has written."""

import pytest

from tests.before.files import rows, table
from tests.reward.judge_server import JudgeServer


@pytest.mark.parametrize(("run", "asked"), [("finished", 0), ("killed", 1)])
def test_a_judge_is_asked_only_what_it_has_not_answered(before, command, run, asked):
    labels = rows(before / "judge" / "finished" / "rows.jsonl")
    server = JudgeServer()
    try:
        command("reward.judge", "judge/pairs.jsonl", "--model", "lab-judge", "--endpoint", server.url,
                "--audio_format", "wav", "--concurrency", 1, "--output", f"judge/{run}")  # fmt: skip
        assert len(server.requests) == asked
    finally:
        server.http.shutdown()
    assert rows(before / "judge" / run / "rows.jsonl") == labels


def test_predictions_for_a_benchmark_give_the_same_tables(before, command):
    command("reward.benchmark", "--results", "benchmark/results.jsonl", "--output", "tables")
    for part in ("summary", "detail", "extra"):
        name = f"metrics_{part}.csv"
        assert table(before / "tables" / name) == table(before / "benchmark" / name)
