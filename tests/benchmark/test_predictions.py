"""Scoring the benchmark: each distinct clip and prompt once, by one process or two, with bad files."""

import csv
import importlib
import math
import re
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from music.errors import InputError
from music.jsonl import dump_line, read_jsonl
from music.prompts import Prompt
from reward import ScoreRequest, load_scorer
from reward.benchmark.command import Benchmark, main
from reward.benchmark.predictions import answers
from reward.benchmark.result_rows import gap_of
from tests.reward.conftest import SCORING


def clip(source, audio, prompt, split="test", **others):
    return {"split": split, "source": source, "audio-path": audio, "prompt": prompt, **others}


def pair(audio, audio2, prompt, reference="", **others):
    named = {"audio2": audio2, "lyrics": "", "ref-audio-path": reference}
    return clip("cmi-arena-annotation", audio, prompt, **named, **others)


@pytest.fixture
def rows():
    """Rows of all four sources, of which some share clips and prompts."""
    return [
        clip("PAM", "a0.flac", "pop", musicality="3.5"),
        clip("MusicEval", "a1.flac", "rock", musicality=2.0),
        clip("PAM", "a5.flac", "pop", split="train", musicality="1.5"),
        clip("Music Arena", "a0.flac", "pop", audio2="a2.flac", lyrics="la la", preference="A"),
        pair("a0.flac", "a1.flac", "pop", **{"preference-musicality": "model_a"}),
        pair("a1.flac", "a0.flac", "pop", **{"preference-alignment": "model_a"}),
        pair("a2.flac", "a3.flac", "rock", "r0.flac", **{"preference-musicality": "model_b"}),
    ]


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Return a function that makes a module of some source, to be imported by its name."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(name, source):
        (tmp_path / f"{name}.py").write_text(source)
        importlib.invalidate_caches()

    return make


@pytest.fixture
def job(rows, tmp_path):
    """Return the options of a run on these rows with a golden checkpoint."""
    data = tmp_path / "data" / "all_test.jsonl"
    shutil.copytree(SCORING / "audio", data.parent)
    data.write_text("".join(map(dump_line, rows)))
    return {"output": tmp_path / "out", "data": data, "reward": str(SCORING / "sa_plain"), "device": "cpu"}


def results(folder):
    return [row for _, row in read_jsonl(folder / "results.jsonl")]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"id": "1", "audio_a": "a.flac", "audio_b": "b.flac"}, "its rows are prepared for training"),
        ({"id": "1", "audio": "a.flac", "rating_musicality": 3}, "its rows are prepared for training"),
        (clip("PAM", "a0.flac", "pop", split="train"), "no row has the split 'test'"),
    ],
)
def test_rows_of_another_kind_are_refused_with_what_is_wanted(job, row, reason):
    job["data"].write_text(dump_line(row))
    with pytest.raises(
        InputError, match=rf"is not the benchmark: {reason}; --data takes .*all_test\.jsonl as it is"
    ):
        main(Benchmark(**job | {"reward": "no_module:Judge"}))
    assert not job["output"].exists()


def test_every_clip_and_prompt_is_scored_once(rows, job):
    assert main(Benchmark(**job)) == 0
    asked = [row for _, row in read_jsonl(job["output"] / "requests.jsonl")]
    assert len(asked) == 7  # ten places, of which three repeat a clip under the same prompt
    found, tested = results(job["output"]), [*rows[:2], *rows[3:]]
    assert [{key: row[key] for key in one} for one, row in zip(tested, found, strict=True)] == tested
    first, turned = found[3], found[4]
    for name in ("musicality", "text-music alignment"):
        assert first[f"predicted_{name}"] == turned[f"predicted_{name}_b"]
    gap = first["predicted_musicality"] - first["predicted_musicality_b"]
    preferred = ["model_a", "model_b"][:: 1 if gap > 0 else -1]
    assert [row["predicted_preference-musicality"] for row in (first, turned)] == preferred
    assert found[0]["seconds"] > 0
    assert "seconds_b" not in found[0]


def test_scores_are_those_of_the_scorer(job):
    main(Benchmark(**job))
    scorer = load_scorer(job["reward"], device="cpu")
    folder = job["data"].parent
    (score,) = scorer.score([ScoreRequest(folder / "a3.flac", Prompt("x", "rock", "", folder / "r0.flac"))])
    last = results(job["output"])[-1]
    assert last["predicted_musicality_b"] == pytest.approx(score["musicality"], abs=1e-6)
    assert last["predicted_text-music alignment_b"] == pytest.approx(score["alignment"], abs=1e-6)


LOGGING = """
from music.clips import read_clip
class Logging:
    name, metrics, hash = "logging", ("musicality",), "1"
    asked = []
    def score(self, requests):
        found = [{"musicality": float(read_clip(one.audio).waveform.std())} for one in requests]
        self.asked += [request.audio.name for request in requests]
        return found
"""


def test_another_limit_scores_only_what_is_new_to_it(job, tmp_path, module):
    module("logging_judge", LOGGING)
    asked = importlib.import_module("logging_judge").Logging.asked
    job |= {"reward": "logging_judge:Logging"}
    (job["data"].parent / "a1.flac").rename(tmp_path / "a1.flac")
    assert main(Benchmark(**job, limit=2)) == 1  # the second row, whose audio is missing
    before = results(job["output"])
    assert asked == ["a0.flac"]
    main(Benchmark(**job))
    whole = results(job["output"])
    everything = ["a0.flac", "a0.flac", "a2.flac", "a2.flac", "a3.flac"]
    assert sorted(asked) == everything
    assert main(Benchmark(**job, limit=1)) == 0  # what is wrong beyond the limit is not asked for
    assert results(job["output"]) == before[:1]
    main(Benchmark(**job))
    assert results(job["output"]) == whole
    assert sorted(asked) == everything
    (tmp_path / "a1.flac").rename(job["data"].parent / "a1.flac")
    assert main(Benchmark(**job)) == 0
    assert sorted(set(asked[5:])) == ["a1.flac"]
    whole = results(job["output"])
    shutil.rmtree(job["output"])
    main(Benchmark(**job))
    assert results(job["output"]) == whole


@pytest.mark.slow
def test_two_processes_write_the_results_of_one(job, tmp_path):
    main(Benchmark(**job))
    options = [f"--{name}={value}" for name, value in (job | {"output": tmp_path / "two"}).items()]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    ran = subprocess.run(
        [*command, "reward.benchmark", *options], capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    assert results(tmp_path / "two") == results(job["output"])
    for name in ("summary", "detail", "extra"):
        written = [folder / f"metrics_{name}.csv" for folder in (tmp_path / "two", job["output"])]
        assert written[0].read_text() == written[1].read_text()


def test_bad_audio_is_told_and_left_out_or_fatal(job, capsys):
    (job["data"].parent / "a1.flac").write_bytes(b"no audio")
    assert main(Benchmark(**job)) == 1
    told = re.findall(r"left out: .*all_test\.jsonl line (\d): a1\.flac: ", capsys.readouterr().err)
    assert told == ["2", "5", "6"]
    found = results(job["output"])
    assert [("error" in row) for row in found] == [False, True, False, True, True, False]
    assert not any(name.startswith("predicted") for row in found if "error" in row for name in row)
    summary = (job["output"] / "metrics_summary.csv").read_text()
    assert "CMI-Pref,musicality,1," in summary
    with pytest.raises(InputError, match=r"3 of 6 rows cannot be scored, the first .* line 2: a1\.flac"):
        main(Benchmark(**job, on_error="fail"))


def test_missing_files_are_fatal_before_a_model_is_loaded(job):
    (job["data"].parent / "r0.flac").unlink()
    job |= {"reward": "no_such_module:Class", "on_error": "fail"}
    with pytest.raises(InputError, match=r"1 of 5 files .*r0\.flac: .* --on_error exclude"):
        main(Benchmark(**job))


def test_bad_audio_that_a_scorer_never_opens_is_left_out_too(job):
    (job["data"].parent / "a1.flac").write_bytes(b"no audio")
    job |= {"reward": "constant", "musicality": "constant", "workers": 0}
    assert main(Benchmark(**job)) == 1
    assert [("error" in row) for row in results(job["output"])] == [False, True, False, True, True, False]


def test_what_results_cannot_hold_is_refused_before_a_model_is_loaded(job, tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    row = {"split": "test", "source": "PAM", "audio-path": "a0.flac", "date": datetime(2025, 7, 1)}
    parquet.write_table(pyarrow.Table.from_pylist([row]), tmp_path / "rows.parquet")
    with pytest.raises(InputError, match=r"rows\.parquet row 1: .*datetime"):
        main(Benchmark(**job | {"data": tmp_path / "rows.parquet", "reward": "no/such/scorer"}))


@pytest.mark.parametrize("name", ["requests.jsonl", "scores.jsonl", "results.jsonl"])
def test_rows_in_the_output_are_not_written_over(job, name):
    job["output"].mkdir()
    data = job["data"].rename(job["output"] / name)
    before = data.read_text()
    with pytest.raises(InputError, match=rf"{name} would be overwritten by"):
        main(Benchmark(**job | {"data": data}))
    assert data.read_text() == before


def test_metrics_answer_tasks():
    both = {"musicality": "", "alignment": ""}
    assert answers(("alignment", "musicality"), both) == {name: name for name in both}
    assert answers(("CE", "PQ"), both | {"musicality": "CE"}) == {"musicality": "CE"}
    assert answers(("musicality",), both) == {"musicality": "musicality"}
    with pytest.raises(InputError, match="measures CE, PQ: name by"):
        answers(("CE", "PQ"), both)
    with pytest.raises(InputError, match="--alignment XX: the scorer measures CE"):
        answers(("CE",), both | {"alignment": "XX"})


def test_a_scorer_of_musicality_alone_predicts_nothing_else(job, module):
    module("musicality_judge", LOGGING)
    assert main(Benchmark(**job | {"reward": "musicality_judge:Logging"})) == 0
    names = {name for row in results(job["output"]) for name in row if "predicted" in name}
    assert names
    assert not any("alignment" in name for name in names)
    with (job["output"] / "metrics_summary.csv").open(newline="") as file:
        tasks = [line["task"] for line in csv.DictReader(file) if line["n"] != "0"]
    assert tasks == ["musicality", "musicality", "preference", "musicality"]


CHANCES = """
from music.clips import read_clip
class Chances:
    name, hash = "chances", "1"
    metrics = ("musicality", "musicality_spread", *(f"musicality_chance_{level}" for level in (1, 2, 3)))
    def score(self, requests):
        levels = [float(read_clip(one.audio).waveform.abs().mean()) for one in requests]
        high = [level / (1 + level) for level in levels]
        return [dict(zip(self.metrics, (2 + 2 * x, 0.5, 0.6 * (1 - x), 0.4, 0.6 * x))) for x in high]
"""


def test_pairs_have_the_odds_of_chances_that_a_scorer_tells(job, module):
    module("chances", CHANCES)
    main(Benchmark(**job | {"reward": "chances:Chances"}))
    _, _, _, first, turned, _ = results(job["output"])
    high, low = ((row["predicted_musicality"] - 2) / 2 for row in (first, turned))
    a, b = ((0.6 * (1 - x), 0.4, 0.6 * x) for x in (high, low))
    over = a[2] * (b[0] + b[1] + b[2] / 2) + a[1] * (b[0] + b[1] / 2) + a[0] * b[0] / 2
    odds = math.log(over / (1 - over))
    assert first["predicted_log_odds-musicality"] == pytest.approx(odds)
    assert turned["predicted_log_odds-musicality"] == pytest.approx(-odds)
    assert first["predicted_preference-musicality"] == ("model_a" if high > low else "model_b")
    assert gap_of(first, ("musicality",)) == pytest.approx(odds)
    assert "predicted_log_odds-musicality" not in results(job["output"])[0]


def test_a_scorer_of_which_more_is_not_better_is_refused(job, module):
    module("errors_judge", LOGGING.replace('"1"', '"1"\n    higher_is_better = False'))
    with pytest.raises(InputError, match="more of what logging measures is not better"):
        main(Benchmark(**job | {"reward": "errors_judge:Logging"}))


PLUG_IN = """
import numpy as np
import torch
class Theirs:
    sr = 24000
    def __init__(self, checkpoint, device):
        torch.device(device)
        self.bias = float(open(checkpoint).read())
    def score_batch(self, inputs, batch_size, max_dur, **options):
        assert (len(inputs), max_dur) == (1, 120.0)
        return np.array([[len(one.to_dict()["text"]), self.bias + bool(one.ref_audio)] for one in inputs])
"""


def test_a_class_for_the_authors_runner_works_unchanged(job, tmp_path, module):
    module("theirs", PLUG_IN)
    (tmp_path / "weights").write_text("0.25")
    job |= {"reward": "theirs:Theirs", "checkpoint": str(tmp_path / "weights"), "device": "auto"}
    assert main(Benchmark(**job)) == 0
    first, *_, last = results(job["output"])
    assert (first["predicted_text-music alignment"], first["predicted_musicality"]) == (3, 0.25)
    assert last["predicted_musicality_b"] == 1.25
    (tmp_path / "weights").write_text("0.5")  # another model: its scores are not mixed with those
    with pytest.raises(InputError, match="scored by another model"):
        main(Benchmark(**job))
    with pytest.raises(InputError, match="theirs:Theirs needs the option 'checkpoint'"):
        main(Benchmark(**job | {"checkpoint": None}))


DEAF = """
import torch
from music.clips import read_clip
class Deaf:
    sr = 24000
    def score_batch(self, inputs, batch_size, max_dur):
        if inputs[0].audio.endswith("a3.flac"):
            raise RuntimeError("too deep for it")
        try:
            level = read_clip(inputs[0].audio).waveform.std()
        except ValueError:
            level = torch.zeros(())
        return torch.stack([level, level])[None].bfloat16().requires_grad_()
"""


def test_what_the_authors_class_would_take_for_silence_or_fail_for_is_an_error_of_its_rows(job, module):
    module("deaf", DEAF)
    job |= {"reward": "deaf:Deaf"}
    folder = job["data"].parent
    (folder / "a1.flac").write_bytes((folder / "a1.flac").read_bytes()[:-4000])  # its header is whole
    assert main(Benchmark(**job)) == 1
    found = results(job["output"])
    told = [row.get("error", "") for row in found]
    assert [bool(error) for error in told] == [False, True, False, True, True, True]
    assert "a1.flac" in told[1]
    assert "score_batch of Deaf fails for" in told[5]
    assert told[5].endswith("a3.flac: RuntimeError: too deep for it")
    assert found[0]["predicted_musicality"] > 0
    (folder / "r0.flac").write_bytes(b"no audio")
    main(Benchmark(**job))
    assert "r0.flac" in results(job["output"])[-1]["error"]


def test_content_and_prompt_decide_what_is_the_same(job):
    main(Benchmark(**job))
    before = results(job["output"])
    shutil.copy(job["data"].parent / "a2.flac", job["data"].parent / "a0.flac")
    main(Benchmark(**job))
    after = results(job["output"])
    assert after[0]["predicted_musicality"] != before[0]["predicted_musicality"]
    assert after[-1] == before[-1]
    assert after[2]["predicted_preference"] == "both"  # its two clips are the same now


def test_rows_without_audio_are_told(job, rows):
    del rows[3]["audio2"]
    rows[4]["audio-path"] = None
    rows[0]["audio-path"] = "nowhere.flac"
    job["data"].write_text("".join(map(dump_line, rows)))
    assert main(Benchmark(**job)) == 1
    errors = [row.get("error", "") for row in results(job["output"])]
    assert "nowhere.flac" in errors[0]
    assert errors[2:4] == ["audio2 is missing", "audio-path is missing"]


def test_predictions_of_another_scorer_do_not_survive(job, tmp_path, module):
    main(Benchmark(**job))
    stale = [row | {"error": "old"} for row in results(job["output"])]
    job["data"].write_text("".join(map(dump_line, stale)))
    module("other_judge", LOGGING)
    job |= {"reward": "other_judge:Logging", "output": tmp_path / "other"}
    assert main(Benchmark(**job)) == 0
    for row, old in zip(results(job["output"]), stale, strict=True):
        assert row["predicted_musicality"] != old["predicted_musicality"]
        assert not any("alignment" in name for name in row if name.startswith("predicted"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"results": "a", "output": Path("runs/benchmark")}, "an --output of its own"),
        ({"data": "a", "results": "b"}, "expected either --data"),
        ({"data": "a", "on_error": "ignore"}, "--on_error must be one of exclude, fail"),
        ({"data": "a", "workers": -1}, "--workers"),
        ({"data": "a", "limit": 0}, "--limit"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        Benchmark(**{"output": Path("out"), **options})


def test_without_rows_it_is_the_labs_or_what_makes_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"--only CMI-RewardBench .*, or name the rows to score by --data"):
        main(Benchmark())


def test_a_default_run_names_the_rows_it_scored(job, tmp_path, monkeypatch):
    monkeypatch.setattr("reward.benchmark.command.LAB_ROWS", job.pop("data"))
    assert main(Benchmark(**job)) == 0
    page = (job["output"] / "report.html").read_text()
    assert str(tmp_path / "data" / "all_test.jsonl") in page
    assert "results.jsonl" not in page
