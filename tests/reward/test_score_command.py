"""`python -m reward.score` on JSON Lines: bad rows, resume, kills, other models, several processes."""

import gc
import json
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from music.clips import write_clip
from music.errors import InputError
from music.hashing import sha256_file
from reward import load_scorer, score
from reward.plug_ins import PlugIn
from reward.protocol import BrokenScorerError
from reward.score import ScoreConfig, main
from reward.scoring.read_ahead import read_ahead
from reward.scoring.rows import score_rows

JUDGE = '''
import hashlib, os, time
from music.clips import read_clip
class Judge:
    """The mean square of the audio, slowly if asked to."""
    name, metrics, hash = "judge", ("energy",), os.environ.get("JUDGE_HASH", "1")
    def score(self, requests):
        time.sleep(float(os.environ.get("JUDGE_SECONDS", "0")) * len(requests))
        with open(os.environ["JUDGE_LOG"], "a") as log:
            log.writelines(request.prompt.id + "\\n" for request in requests)
        return [{"energy": float(read_clip(request.audio).waveform.square().mean())} for request in requests]
'''


@pytest.fixture
def job(tmp_path, noise, monkeypatch):
    """Six rows of audio, a plug-in scorer that logs what it is asked, and how to run the command on them."""
    folder = tmp_path / "data"
    for index in range(6):
        write_clip(folder / "audio" / f"{index}.flac", noise(2000, seed=index))
    (tmp_path / "my_judge.py").write_text(JUDGE)
    monkeypatch.setenv("JUDGE_LOG", str(tmp_path / "log"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.delitem(sys.modules, "my_judge", raising=False)
    return Job(folder, tmp_path / "log")


class Job:
    def __init__(self, folder, log):
        self.folder, self.log = folder, log
        self.rows = [{"id": str(i), "audio": f"audio/{i}.flac", "text": "pop", "mood": i} for i in range(6)]
        self.output = folder / "out.jsonl"

    def write(self):
        (self.folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in self.rows))

    def run(self, **options):
        self.write()
        files = str(self.folder / "in.jsonl"), str(self.output)
        return main(ScoreConfig(*files, reward="my_judge:Judge", device="cpu", **options))

    def start(self, *launcher, **environment):
        self.write()
        command = [*(launcher or (sys.executable,)), "-m", "reward.score", "--reward", "my_judge:Judge"]
        command += ["--device", "cpu", "in.jsonl", "out.jsonl"]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, cwd=self.folder, env={**os.environ, **environment}, stdout=pipe, stderr=pipe
        )

    @property
    def results(self):
        return [json.loads(line) for line in self.output.read_text().splitlines()]

    @property
    def asked(self):
        return self.log.read_text().split() if self.log.exists() else []


def test_rows_keep_their_fields_and_order(job):
    assert job.run() == 0
    for row, result in zip(job.rows, job.results, strict=True):
        assert list(result) == [*row, "energy", "model", "scored_audio"]
        assert result["scored_audio"] == sha256_file(job.folder / row["audio"])
        assert {name: result[name] for name in row} == row
    assert [path.name for path in job.folder.glob("out*")] == ["out.jsonl"]


def test_a_bad_row_gets_its_cause_and_the_rest_is_scored(job):
    job.rows[1]["audio"] = "audio/missing.flac"
    job.rows[2]["text"] = 7
    del job.rows[3]["audio"]
    job.rows[4]["reference"] = "audio/none.flac"  # this judge does not look at references
    assert job.run() == 1
    errors = {result["id"]: result.get("error") for result in job.results}
    assert "missing.flac does not exist" in errors["1"]
    assert errors["2"] == "field 'text' must be a text, got 7"
    assert errors["3"] == "field 'audio' is missing"
    assert errors["0"] is errors["4"] is errors["5"] is None
    assert "energy" not in job.results[1]


def test_a_lone_surrogate_is_the_error_of_its_row(job):
    job.rows[1]["mood"] = {"deep": ["\ud800"]}
    job.rows[2]["audio"] = "audio/\udfff.flac"
    assert job.run() == 1
    assert job.results[1]["error"].startswith("field 'mood' holds a lone surrogate")
    assert job.results[1]["mood"] == {"deep": ["?"]}
    assert job.results[2]["error"].startswith("field 'audio' holds a lone surrogate")
    assert [result["id"] for result in job.results if "energy" in result] == ["0", "3", "4", "5"]
    job.rows[1]["mood"], job.rows[2]["audio"] = 1, "audio/2.flac"
    assert job.run() == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([{"loudness": 1.0}], "announces the metrics energy but gave loudness"),
        ([{"energy": 1.0, "extra": 1.0}], "announces the metrics energy but gave energy, extra"),
        ([{}], "announces the metrics energy but gave none"),
        ([], "gave 0 scores for 1 requests"),
    ],
)
def test_a_scorer_that_does_not_give_its_metrics_is_refused(job, tmp_path, given, message):
    job.write()
    plain = SimpleNamespace(name="judge", metrics=("energy",), hash="1", score=lambda requests: given)
    with pytest.raises(BrokenScorerError, match=message):
        score_rows(job.folder / "in.jsonl", job.output, PlugIn(plain))


def test_a_second_run_scores_what_is_new_changed_or_was_bad(job):
    job.rows[1]["audio"] = "audio/missing.flac"
    job.run()
    job.rows[1]["audio"] = "audio/1.flac"
    job.rows[2]["text"] = "rock"
    job.rows.append({"id": "6", "audio": "audio/0.flac"})
    before = len(job.asked)
    assert job.run() == 0
    assert job.asked[before:] == ["1", "2", "6"]
    assert [result["id"] for result in job.results] == list("0123456")
    assert job.results[2]["text"] == "rock"
    written = job.output.read_bytes()
    assert job.run() == 0
    assert len(job.asked) == before + 3
    assert job.output.read_bytes() == written


@pytest.mark.parametrize("limit", [None, 4])
def test_audio_that_has_changed_under_its_name_is_scored_anew(job, noise, capsys, limit):
    for row in job.rows:
        row["reference"] = "audio/5.flac"
    job.run()
    before = job.results
    write_clip(job.folder / "audio" / "1.flac", noise(2000, seed=7))
    (job.folder / "audio" / "2.flac").unlink()  # what is gone has not changed
    capsys.readouterr()
    assert job.run(limit=limit) == 0
    assert job.asked[6:] == ["1"]
    assert "1 rows scored" in (said := capsys.readouterr().err)
    assert "0 failed; the audio of 1 has changed" in said
    assert [old == new for old, new in zip(before, job.results, strict=True)] == [i != 1 for i in range(6)]
    write_clip(job.folder / "audio" / "5.flac", noise(2000, seed=8))  # the reference of all
    assert job.run() == 1  # one of them is gone
    assert job.asked[7:] == list("012345")
    assert "2.flac does not exist" in job.results[2]["error"]


def test_changed_audio_that_cannot_be_scored_keeps_no_score(job):
    job.run()
    (job.folder / "audio" / "3.flac").write_bytes(b"no audio")
    assert job.run() == 1
    assert "error" in job.results[3]
    assert "energy" not in job.results[3]


def test_scores_of_an_earlier_version_say_nothing_of_the_audio_and_are_kept(job, noise):
    job.run()
    old = [{name: value for name, value in row.items() if name != "scored_audio"} for row in job.results]
    job.output.write_text("".join(json.dumps(row) + "\n" for row in old))
    write_clip(job.folder / "audio" / "1.flac", noise(2000, seed=7))
    assert job.run() == 0
    assert job.results == old
    assert len(job.asked) == 6


@pytest.mark.parametrize(
    "damage", [{"energy": "x"}, {"energy": None}, {"audio_heard": 5}, {"scored_audio": [1]}], ids=str
)
def test_a_damaged_result_is_scored_anew(job, damage):
    job.run()
    before = job.results
    damaged = [{**before[0], **damage}, *before[1:]]
    job.output.write_text("".join(json.dumps(row) + "\n" for row in damaged))
    assert job.run() == 0
    assert job.asked[6:] == ["0"]
    assert job.results == before


def test_pipes_and_devices_are_the_error_of_their_rows(job):
    os.mkfifo(job.folder / "pipe")
    job.rows[0]["audio"], job.rows[1]["audio"] = "pipe", "/dev/zero"
    job.rows[2]["reference"] = "pipe"  # which this scorer does not hear
    assert job.run() == 1
    assert ["no regular file" in row.get("error", "") for row in job.results[:3]] == [True, True, False]


def test_a_limit_scores_the_first_rows_and_keeps_what_is_there_of_others(job):
    job.rows[5]["audio"] = "audio/missing.flac"
    assert job.run(limit=2) == 0
    assert [result["id"] for result in job.results] == ["0", "1"]
    assert job.run() == 1
    assert job.run(limit=3) == 0  # which does not ask for the last
    assert [result["id"] for result in job.results] == list("012345")
    assert job.asked == list("012345")


def test_paths_may_be_relative_to_another_folder(job):
    (job.folder / "audio").rename(job.folder.parent / "audio")
    assert job.run(root=job.folder.parent) == 0
    assert all("energy" in result for result in job.results)
    with pytest.raises(InputError, match="--root and --limit are for the rows of a file"):
        ScoreConfig(pool="somewhere", limit=1)


def test_scores_of_another_model_are_not_touched(job, monkeypatch):
    job.run()
    written = job.output.read_bytes()
    monkeypatch.setenv("JUDGE_HASH", "2")
    monkeypatch.delitem(sys.modules, "my_judge")
    with pytest.raises(InputError, match=r"out\.jsonl line 1: scored by another model \(1, not 2\)"):
        job.run()
    assert job.output.read_bytes() == written


def test_results_of_another_input_are_not_touched(job):
    job.run()
    job.rows[0]["id"] = "new"
    with pytest.raises(InputError, match="id '0' is not in"):
        job.run()
    assert len(job.results) == 6


@pytest.mark.parametrize(
    ("index", "change", "message"),
    [
        (2, {"id": None}, "line 3: expected a field 'id'"),
        (2, {"id": 5}, "line 3: expected a field 'id'"),
        (4, {"id": "1"}, "line 5: id '1' comes twice, first in line 2"),
        (2, {"id": "\ud800"}, "line 3: the id .* holds a lone surrogate"),
        (0, {"energy": 1.0}, "line 1: the field 'energy' would be overwritten"),
        (0, {"model": "x"}, "line 1: the field 'model' would be overwritten"),
    ],
)
def test_a_file_that_cannot_be_trusted_is_refused(job, index, change, message):
    job.rows[index].update(change)
    with pytest.raises(InputError, match=rf"in\.jsonl {message}"):
        job.run()
    assert not job.output.exists()
    assert job.asked == []


def test_a_bad_command_line_is_one_line_and_code_2(job):
    command = [sys.executable, "-m", "reward.score", "--pool", "nowhere"]
    ran = subprocess.run(command, cwd=job.folder, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == "error: nowhere is not a pool: it has no metadata.jsonl\n"


@pytest.fixture
def command(job, monkeypatch):
    """Return what runs the file as a command in this process, which is quicker, and tells its code."""

    def run(*options):
        monkeypatch.chdir(job.folder)
        monkeypatch.setattr(sys, "argv", ["reward.score", *options])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(score.__file__, run_name="__main__")
        return ended.value.code

    return run


@pytest.mark.parametrize("place", ["before", "after", "inside"])
def test_files_and_a_config_go_together(job, command, place):
    job.write()
    config, files = ["--config", "c.yaml"], ["in.jsonl", "out.jsonl"]
    lines = ["reward: my_judge:Judge", "device: cpu"]
    if place == "inside":
        lines += ["input: in.jsonl", "output: out.jsonl"]
    (job.folder / "c.yaml").write_text("\n".join(lines))
    options = {"before": [*config, *files], "after": [*files, *config], "inside": config}[place]
    assert command(*options) == 0
    assert len(job.results) == 6


def test_help_shows_the_files_and_what_they_are(command, capsys):
    assert command("--help") == 0
    told = capsys.readouterr().out
    assert "[input] [output]" in told
    assert "JSON Lines with the fields" in told


@pytest.mark.parametrize("options", [{}, {"input": "a.jsonl"}, {"pool": "p", "input": "a", "output": "b"}])
def test_either_rows_or_a_pool(options):
    with pytest.raises(InputError, match="either"):
        ScoreConfig(**options)


def test_output_must_not_be_the_input(job):
    job.output = job.folder / "in.jsonl"
    with pytest.raises(InputError, match="other than the input"):
        job.run()


def test_names_of_the_users_are_no_parts_of_the_output(job):
    """An input, and the output of another run, that are called as parts once were."""
    job.output = job.folder / "out-00000.jsonl"
    assert job.run() == 0
    finished = job.output.read_text()
    job.output = job.folder / "out.jsonl"
    assert job.run() == 0
    assert (job.folder / "out-00000.jsonl").read_text() == job.output.read_text() == finished
    assert len(job.asked) == 12  # what is scored into another file is scored anew
    source = (job.folder / "in.jsonl").rename(job.folder / "rows-00000.jsonl")
    told = source.read_text()
    score_rows(source, job.folder / "rows.jsonl", load_scorer("my_judge:Judge"))
    assert (job.folder / "rows.jsonl").read_text() == finished
    assert source.read_text() == told
    part = source.rename(job.folder / "rows.jsonl.part-00000")
    with pytest.raises(InputError, match="other than the input"):
        score_rows(part, job.folder / "rows.jsonl", load_scorer("my_judge:Judge"))
    assert part.read_text() == told


def test_parts_under_their_old_names_are_used_and_left(job):
    job.run()
    whole = job.output.read_text()
    lines = whole.splitlines(keepends=True)
    job.output.unlink()
    for name, content in {"00000": lines[0], "00001": lines[3], "00002": "no rows", "x": lines[1]}.items():
        (job.folder / f"out-{name}.jsonl").write_text(content)
    assert job.run() == 0
    assert job.output.read_text() == whole
    assert job.asked[6:] == ["1", "2", "4", "5"]
    assert len(list(job.folder.glob("out-*.jsonl"))) == 4


@pytest.mark.parametrize(
    ("source", "output", "message"),
    [
        ("none.jsonl", "out.jsonl", "input .*none.jsonl does not exist"),
        ("x" * 300 + ".jsonl", "out.jsonl", "input .* cannot be opened: File name too long"),
        ("in.jsonl", "out.txt", "the output must be a .jsonl file"),
    ],
)
def test_files_are_looked_at_before_the_scorer_is_loaded(job, source, output, message):
    job.write()
    config = ScoreConfig(str(job.folder / source), str(job.folder / output), reward="no_module:Judge")
    with pytest.raises(InputError, match=message):
        main(config)


def test_kill_and_run_again_gives_the_file_of_an_undisturbed_run(job):
    job.run()
    undisturbed = job.output.read_bytes()
    job.output.unlink()
    job.log.unlink()
    process = job.start(JUDGE_SECONDS="0.3")
    deadline = time.monotonic() + 60
    while len(job.asked) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = len(job.asked)
    assert 3 <= before < 6
    assert not job.output.exists()
    assert job.run() == 0
    assert job.output.read_bytes() == undisturbed
    assert len(job.asked) - before <= 6 - 2  # at least the first two were kept


def test_two_processes_share_the_rows(job):
    job.run()
    alone = job.output.read_bytes()
    job.output.unlink()
    job.log.unlink()
    job.rows[5]["audio"] = "audio/missing.flac"
    launcher = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    process = job.start(*launcher)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1, errors.decode()
    assert job.output.read_bytes().splitlines()[:5] == alone.splitlines()[:5]
    assert "error" in job.results[5]
    assert sorted(job.asked) == list("012345")


def test_audio_decoded_ahead_scores_as_files_do(tmp_path, noise, scoring):
    scorer = load_scorer(scoring / "sa_plain", device="cpu")
    rows = [{"id": str(number), "audio": f"{number}.flac", "text": "pop"} for number in range(7)]
    for number in range(6):  # the last one is missing
        write_clip(tmp_path / f"{number}.flac", noise(9_000 + 4_000 * (number % 3), rate=16_000, seed=number))
    (tmp_path / "4.flac").write_bytes(b"no audio")
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = {}
    for name, workers in {"files": 0, "ahead": 3}.items():
        outcome = score_rows(
            tmp_path / "in.jsonl", tmp_path / f"{name}.jsonl", scorer, batch=3, workers=workers
        )
        assert (outcome.scored, outcome.failed) == (5, 2)
        lines = (tmp_path / f"{name}.jsonl").read_text().splitlines()
        found[name] = [
            {key: value for key, value in json.loads(line).items() if key != "error"} for line in lines
        ]
    assert found["ahead"] == found["files"]
    assert [row["id"] for row in found["ahead"] if "musicality" not in row] == ["4", "6"]


def test_reading_ahead_keeps_the_order_and_goes_no_further_than_asked():
    begun, results = [], []

    def read(number):
        begun.append(number)
        time.sleep(0.02 * (number % 2))
        return number

    for number in read_ahead(read, range(20), workers=3, ahead=4):
        time.sleep(0.005)
        assert len(begun) <= number + 1 + 4
        results.append(number)
    assert results == list(range(20))


def test_what_goes_wrong_is_raised_where_it_is_due():
    def read(number):
        if number == 2:
            raise InputError("broken")
        return number

    found = []
    with pytest.raises(InputError, match="broken"):
        found.extend(read_ahead(read, range(5), workers=2, ahead=3))
    assert found == [0, 1]


def test_reading_ahead_that_is_dropped_half_way_waits_for_nothing():
    """The garbage collector may drop it while another thread starts, where joining a thread never ends."""
    begun, ended = threading.Event(), threading.Event()
    limit = threading.Timer(20, ended.set)  # a failure is no hang
    limit.start()

    def read(number):
        if number == 1:
            begun.set()
            ended.wait()
        return number

    numbers = read_ahead(read, range(5), workers=2, ahead=1)
    assert next(numbers) == 0
    assert begun.wait(5)
    began = time.monotonic()
    del numbers
    gc.collect()
    assert time.monotonic() - began < 15  # else the timer ends it
    ended.set()
    limit.cancel()
