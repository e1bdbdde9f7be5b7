"""The main job in this process: what it leaves, what it takes up again, what it refuses."""

import hashlib
import json
import os
import signal
import time
from dataclasses import replace

import pytest

from music.command import parse_command
from music.errors import InputError
from music.pool import Pool
from music.scores import ScoreTable
from scaling.best_of_n import BestOfN, main
from tests.music.folder_state import contents
from tests.scaling.finished_run import finished

SCORERS = "tests.scaling.loudness_scorer"


@pytest.fixture
def config(small_run, tmp_path):
    return replace(small_run, judges=f"{SCORERS}:GoldScorer", output=tmp_path / "run")


@pytest.fixture(scope="module")
def whole(small_run, tmp_path_factory):
    """Return what a run leaves that was never stopped."""
    folder = tmp_path_factory.mktemp("whole")
    main(replace(small_run, judges=f"{SCORERS}:GoldScorer", output=folder))
    return folder


def test_what_a_run_leaves(whole):
    assert sorted(file.name for file in whole.iterdir()) == [
        "best",
        "pool",
        "ranking.csv",
        "report.html",
        "run.json",
        "summary.json",
    ]
    summary = json.loads((whole / "summary.json").read_text())
    assert list(summary) == [
        "n_prompts",
        "n",
        "reward",
        "by_n",
        "gain",
        "captured",
        "reached",
        "ties",
        "seconds",
    ]
    assert (summary["n_prompts"], summary["n"], summary["reward"], summary["ties"]) == (3, 4, "loudness", 0)
    assert list(summary["by_n"]) == ["1", "2", "3", "4"]
    assert (
        list(summary["by_n"]["4"]) == list(summary["gain"]) == ["reward", "musicality", "alignment", "peak"]
    )
    assert list(summary["seconds"]) == ["load", "generate", "score", "choose", "report"]
    assert summary["gain"]["reward"]["mean"] > 0
    record = json.loads((whole / "run.json").read_text())
    assert record["config"]["n"] == 4
    assert record["spec"]["seconds"] == 0.3
    ids = hashlib.sha256(b"z\na/b\ntest-1\n").hexdigest()
    assert record["prompts"] == {"source": record["config"]["prompts"], "count": 3, "ids_sha256": ids}
    assert record["scorers"] == {"loudness": "loudness-1", "gold": "gold-1"}


def test_the_best_are_the_best(whole):
    pool = Pool(whole / "pool")
    assert len(pool) == 12
    table = ScoreTable(pool.folder, "loudness", "loudness-1", ("musicality", "alignment"))
    rows = [json.loads(line) for line in (whole / "best" / "metadata.jsonl").read_text().splitlines()]
    assert [row["prompt_id"] for row in rows] == ["z", "a/b", "test-1"]
    rewards = []
    for row in rows:
        own = [found for found in pool if found.prompt_id == row["prompt_id"]]
        scores = [0.5 * score["musicality"] + 0.5 * score["alignment"] for score in table.table(own)]
        assert row["candidate"] == scores.index(max(scores))
        assert row["reward"] == pytest.approx(max(scores))
        assert (whole / "best" / row["file_name"]).read_bytes() == pool.path(
            own[row["candidate"]]
        ).read_bytes()
        rewards += scores
    summary = json.loads((whole / "summary.json").read_text())
    assert summary["by_n"]["1"]["reward"]["mean"] == pytest.approx(sum(rewards) / 12)
    assert summary["by_n"]["4"]["reward"]["mean"] == pytest.approx(sum(row["reward"] for row in rows) / 3)


def test_a_second_run_makes_and_scores_nothing(config, monkeypatch, tmp_path):
    monkeypatch.setenv("SCORED", str(tmp_path / "scored"))
    main(config)
    before = finished(config.output)
    times = {file: file.stat().st_mtime_ns for file in (config.output / "pool").rglob("*.flac")}
    main(config)
    assert finished(config.output) == before
    assert times == {file: file.stat().st_mtime_ns for file in (config.output / "pool").rglob("*.flac")}
    assert (tmp_path / "scored").read_text().count("scored") == 12


def test_fewer_and_more_candidates_and_prompts(config, whole, monkeypatch, tmp_path):
    monkeypatch.setenv("SCORED", str(tmp_path / "scored"))
    main(replace(config, n=2, limit=1))
    main(replace(config, n=3, limit=2))
    assert len(Pool(config.output / "pool")) == 6
    main(config)
    assert finished(config.output) == finished(whole)
    assert (tmp_path / "scored").read_text().count("scored") == 12
    main(replace(config, n=2))
    summary = json.loads((config.output / "summary.json").read_text())
    assert (summary["n"], summary["n_prompts"]) == (2, 3)
    assert len(Pool(config.output / "pool")) == 12


def test_killed_at_any_stage_it_is_taken_up(config, whole):
    start = time.perf_counter()
    main(replace(config, output=config.output.parent / "rehearsal"))
    duration = time.perf_counter() - start
    for share in (0.1, 0.3, 0.5, 0.7, 0.9):
        output = config.output.parent / f"killed-{share}"
        child = os.fork()
        if child == 0:
            try:
                main(replace(config, output=output))
            finally:
                os._exit(0)
        time.sleep(share * duration)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        main(replace(config, output=output))
        assert finished(output) == finished(whole)


def test_ties_go_to_the_first_and_are_counted(config):
    main(replace(config, reward=f"{SCORERS}:ConstantScorer", judges="", n=2))
    rows = [json.loads(line) for line in (config.output / "best" / "metadata.jsonl").read_text().splitlines()]
    assert [row["candidate"] for row in rows] == [0, 0, 0]
    assert [row["reward"] for row in rows] == [1.5, 1.5, 1.5]
    assert json.loads((config.output / "summary.json").read_text())["ties"] == 3


def test_weights_decide(config):
    main(replace(config, weights="musicality=1"))
    loud = (config.output / "best" / "metadata.jsonl").read_text()
    main(replace(config, weights="musicality=-1"))
    assert (config.output / "best" / "metadata.jsonl").read_text() != loud


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"generator": "no-such-model"}, "no-such-model"),
        ({"reward": "no-such-judge"}, "no-such-judge"),
        ({"judges": "no-such-judge"}, "no-such-judge"),
        ({"reward": f"{SCORERS}:NoSuchScorer"}, "NoSuchScorer"),
        ({"weights": "sparkle=1"}, "'sparkle'"),
        ({"weights": "musicality=loud"}, "musicality"),
        ({"judges": f"{SCORERS}:LoudnessScorer"}, "two scorers are called 'loudness'"),
        ({"prompts": "gone.jsonl"}, "gone.jsonl does not exist"),
        ({"limit": 0}, "--limit must be at least 1"),
        ({"seconds": 0.4}, "seconds was 0.3, is 0.4"),
        ({"seconds": 1e6}, "--seconds"),
        ({"guidance": 1.5}, "guidance was 3.0, is 1.5"),
        ({"seed": 7}, "another --seed"),
        ({"ignore_unsupported": False}, "prompt 'a/b' has lyrics"),
    ],
)
def test_bad_options_are_one_line_and_leave_finished_work_alone(config, whole, changed, message):
    before = contents(whole)
    with pytest.raises(InputError) as caught:
        main(replace(config, **{"output": whole, **changed}))
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert contents(whole) == before


@pytest.mark.parametrize(
    "argv", [["--n", "0"], ["--n=-3"], ["--seconds", "0"], ["--seconds", "nan"], ["--dtype", "int8"]]
)
def test_numbers_out_of_range_never_start(argv):
    with pytest.raises(InputError, match=argv[0].split("=")[0].strip("-")):
        parse_command(BestOfN, argv)


def test_a_known_prompt_with_another_text_is_refused_before_models_are_loaded(
    config, whole, tmp_path, monkeypatch
):
    monkeypatch.setattr("reward.scoring.candidates.load_scorer", lambda *_: pytest.fail("a model was loaded"))
    (tmp_path / "other.jsonl").write_text('{"id": "z", "text": "polka", "facts": {"bpm": 60}}\n')
    before = contents(whole)
    with pytest.raises(InputError, match="prompt 'z' had another text"):
        main(replace(config, output=whole, prompts=str(tmp_path / "other.jsonl")))
    assert contents(whole) == before


def test_an_output_folder_that_cannot_be_is_refused_before_models_are_loaded(config, tmp_path, monkeypatch):
    monkeypatch.setattr("reward.scoring.candidates.load_scorer", lambda *_: pytest.fail("a model was loaded"))
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"cannot write .*file"):
        main(replace(config, output=tmp_path / "file" / "run"))


def test_damaged_audio_in_the_pool_is_found(config):
    main(config)
    victim = Pool(config.output / "pool").candidates[5]
    file = config.output / "pool" / victim.file_name
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"metadata\.jsonl line 6: .*was changed"):
        main(config)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"judges": "experiments.lab.gold:Gold"}, "gold"),
        ({"judges": f"first10:{SCORERS}:NeedsFacts"}, "first10-needy"),
        ({"reward": f"{SCORERS}:LoudnessScorer,{SCORERS}:NeedsFacts", "weights": "asked"}, "loudness-needy"),
    ],
)
def test_a_prompt_that_a_scorer_cannot_score_is_refused_before_anything_is_made(
    config, monkeypatch, changes, name
):
    monkeypatch.setattr("scaling.best_of_n.fill_pool", lambda *_: pytest.fail("clips were made"))
    with pytest.raises(InputError, match=rf"^{name} cannot score clips of prompt .+: .*fact"):
        main(replace(config, **changes))
    assert not config.output.exists()
