"""The lab's judge: the truth with a lean and noise, asked over the wire like any other."""

import contextlib
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from experiments.lab.judge_server import TrueJudge, make_server
from experiments.lab.judgements.hearing import Hearing
from experiments.lab.judgements.pairs import pair
from experiments.lab.world.coded_audio import clip_of
from experiments.lab.world.rendering import SAMPLE_RATE
from music.clips import Clip, write_clip
from music.errors import InputError
from music.jsonl import read_jsonl
from reward import load_scorer
from reward.judge.command import LabelPairs, main
from reward.judge.sound import Sound
from reward.judgements import load_pairs, load_preferences
from reward.scoring.rows import score_rows

ROOT = Path(__file__).resolve().parents[2]
PAIRS = 24


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Write pairs of the lab, cut to a second."""
    folder = tmp_path_factory.mktemp("pairs")
    rows = []
    for index in range(PAIRS):
        row, songs = pair("validation", "text", index)
        for side in "ab":
            clip = Clip(clip_of(songs[side]).waveform[:, :SAMPLE_RATE], SAMPLE_RATE)
            write_clip(folder / row[f"audio_{side}"], clip)
        rows.append(row)
    path = folder / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@contextlib.contextmanager
def served(judge):
    """Serve a judge on this machine, and yield its endpoint."""
    server = make_server(judge, 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()


def labels(pairs, output, lean):
    """Let a judge who errs in nothing but a lean label the pairs, and return its bias table by head and answers."""
    hearing = Hearing(lean, 0.0, 0.0, taste=0.0, halo=0.0)
    with served(TrueJudge(load_pairs(pairs), Sound(max_bytes=1 << 30), hearing)) as endpoint:
        assert main(LabelPairs(pairs, output, "lab", endpoint=endpoint)) == 0
    return {(row["head"], row["answers"]): row for row in json.loads((output / "bias.json").read_text())}


def test_without_lean_and_noise_it_tells_the_truth(pairs, tmp_path):
    bias = labels(pairs, tmp_path, 0.0)
    for kind in ("original", "reversed", "agreed"):
        assert bias["musicality", kind]["right"] == 1.0
        assert bias["alignment", kind]["decided"] == PAIRS
    truth = load_preferences(pairs)
    found = load_preferences(tmp_path / "rows.jsonl")
    assert [(row.musicality, row.alignment) for row in found] == [
        (row.musicality, row.alignment) for row in truth
    ]


def test_a_lean_shows_in_the_order_and_the_filter_takes_it_out(pairs, tmp_path):
    bias = labels(pairs, tmp_path, 0.5)
    assert bias["musicality", "original"]["a_share"] > 0.6
    assert bias["musicality", "reversed"]["a_share"] < 0.4  # the first is now b
    assert bias["musicality", "original"]["right"] < 1.0
    assert bias["musicality", "agreed"]["right"] == 1.0
    assert bias["musicality", "agreed"]["decided"] < PAIRS


def test_audio_that_it_does_not_know_is_refused(pairs, tmp_path):
    judge = TrueJudge(load_pairs(pairs), Sound("wav", max_bytes=1 << 30), Hearing())
    with served(judge) as endpoint, pytest.raises(InputError, match="do not know this audio"):
        main(LabelPairs(pairs, tmp_path, "lab", endpoint=endpoint, limit=1))


def test_both_commands_together(pairs, tmp_path):
    command = [sys.executable, "-m", "experiments.lab.judge_server", str(pairs), "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        try:
            endpoint = server.stdout.readline().strip()
            ask = [sys.executable, "-m", "reward.judge", str(pairs), "--output", str(tmp_path / "out")]
            done = subprocess.run(
                [*ask, "--model", "lab", "--endpoint", endpoint], cwd=ROOT, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout)["answered"] == 2 * PAIRS
        finally:
            server.kill()


def test_it_marks_one_clip_as_it_hears_it_in_its_pair(pairs, tmp_path):
    rows = [{"id": row.id + side, "audio": str(getattr(row, f"audio_{side}")), "text": row.prompt.text}
            for row in load_pairs(pairs, 6) for side in "ab"]  # fmt: skip
    rows.append({"id": "stranger", "audio": str(tmp_path / "stranger.wav")})
    write_clip(tmp_path / "stranger.wav", Clip(torch.rand(1, 16_000) - 0.5, 16_000))
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with served(
        TrueJudge(load_pairs(pairs), Sound(max_bytes=1 << 30), Hearing(0.0, 0.0, 0.0, 0.0, 0.0))
    ) as endpoint:
        scorer = load_scorer(f"llm-judge:lab@{endpoint}")
        counts = score_rows(tmp_path / "in.jsonl", tmp_path / "out.jsonl", scorer)
    assert counts.failed == 1
    found = {row["id"]: row for _, row in read_jsonl(tmp_path / "out.jsonl")}
    assert "I do not know this audio" in found["stranger"]["error"]
    for row in load_pairs(pairs, 6):
        a, b = (found[row.id + side]["alignment"] for side in "ab")
        assert (a > b) == (row.alignment == "a")


def test_a_port_that_cannot_be_had_is_told(pairs):
    with pytest.raises(InputError, match="cannot listen on port 99999"):
        make_server(TrueJudge([], Sound(), Hearing()), 99_999)
