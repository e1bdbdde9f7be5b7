"""MIREX track B: one answer a pair, from the command line to the file, with ties and bad rows."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.analyses.mirex import Mirex, main, preferred, read_pairs
from music.errors import InputError
from music.jsonl import dump_line, read_jsonl
from music.prompts import Prompt
from reward import RewardWeights, ScoreRequest, load_scorer
from tests.analyses.battles import write

AUDIO = Path(__file__).parents[1] / "data" / "scoring" / "audio"
LOUDNESS = {"reward": "loudness", "weights": "loudness", "device": "cpu"}


@pytest.fixture
def audio(tmp_path):
    """Return a folder with three clips and a reference."""
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("a0.flac", "a1.flac", "a2.flac", "r0.flac"):
        shutil.copyfile(AUDIO / name, folder / name)
    return folder


def answers(folder):
    return {row["sample_id"]: row["preferred_candidate"] for _, row in read_jsonl(folder / "answers.jsonl")}


def test_the_labs_model_answers_from_the_command_line(audio, tmp_path):
    rows = [
        {"sample_id": 7, "audio_a": "a0.flac", "audio_b": "a2.flac", "prompt": "a slow sad piano melody"},
        {
            "sample_id": "s2",
            "audio-path": "a2.flac",
            "audio2": "a0.flac",
            "prompt": "a slow sad piano melody",
        },
        {"id": "s3", "audio-a": "a0.flac", "audio-b": "a1.flac", "text": "rock", "lyrics": "la"},
    ]
    rows[2]["ref-audio"] = "r0.flac"
    data, output = write(audio / "pairs.jsonl", rows), tmp_path / "out"
    options = [f"--data={data}", f"--output={output}", "--device=cpu"]
    command = [sys.executable, "-m", "experiments.analyses", "mirex", *options]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    assert "3 of 3 answers" in ran.stderr
    scorer, reward = load_scorer("lab-cmi-rm", device="cpu"), RewardWeights()

    def score(name, *prompt):
        return reward(scorer.score([ScoreRequest(audio / name, Prompt("p", *prompt))])[0])

    first = "AB"[score("a0.flac", rows[0]["prompt"]) < score("a2.flac", rows[0]["prompt"])]
    third = "AB"[
        score("a0.flac", "rock", "la", audio / "r0.flac") < score("a1.flac", "rock", "la", audio / "r0.flac")
    ]
    turned = {"A": "B", "B": "A"}[first]
    lines = [json.loads(line) for line in (output / "answers.jsonl").read_text().splitlines()]
    assert lines == [
        {"sample_id": 7, "preferred_candidate": first},
        {"sample_id": "s2", "preferred_candidate": turned},
        {"sample_id": "s3", "preferred_candidate": third},
    ]


def test_ties_favour_neither_side_and_are_always_decided_alike(audio, tmp_path):
    names = [f"sample {number}" for number in range(1000)]
    found = [preferred(name, 1.0, 1.0) for name in names]
    assert 450 < found.count("A") < 550
    assert found == [preferred(name, -2.0, -2.0) for name in names]
    assert preferred("x", 2.0, 1.0) == "A"
    assert preferred("x", 1.0, 2.0) == "B"
    rows = [{"id": name, "audio_a": "a0.flac", "audio_b": "a0.flac"} for name in names[:20]]
    assert main(Mirex(write(audio / "same.jsonl", rows), tmp_path / "same", **LOUDNESS)) == 0
    assert answers(tmp_path / "same") == dict(zip(names[:20], found[:20], strict=True))


def test_clips_that_cannot_be_scored_do_not_harm_the_others(audio, tmp_path, capsys):
    (audio / "broken.flac").write_bytes(b"no audio")
    rows = [
        {"id": "good", "audio_a": "a0.flac", "audio_b": "a1.flac"},
        {"id": "gone", "audio_a": "a0.flac", "audio_b": "gone.flac"},
        {"id": "broken", "audio_a": "broken.flac", "audio_b": "a1.flac"},
    ]
    options = Mirex(write(audio / "pairs.jsonl", rows), tmp_path / "out", **LOUDNESS)
    assert main(options) == 1
    assert list(answers(tmp_path / "out")) == ["good"]
    told = capsys.readouterr().err
    assert "left out: gone:" in told
    assert "left out: broken:" in told
    shutil.copyfile(AUDIO / "a2.flac", audio / "broken.flac")
    shutil.copyfile(AUDIO / "a2.flac", audio / "gone.flac")
    scored = (tmp_path / "out" / "scores.jsonl").read_text().splitlines()[0]
    assert main(options) == 0  # only what had failed is scored
    assert list(answers(tmp_path / "out")) == ["good", "gone", "broken"]
    assert (tmp_path / "out" / "scores.jsonl").read_text().splitlines()[0] == scored


def test_another_clip_under_the_same_name_is_scored_anew(audio, tmp_path):
    names = ["a0.flac", "a1.flac", "a2.flac"]
    requests = [ScoreRequest(audio / name, Prompt("p", "x")) for name in names]
    levels = [found["loudness"] for found in load_scorer("loudness").score(requests)]
    loud, soft = names[levels.index(max(levels))], names[levels.index(min(levels))]
    shutil.copyfile(audio / loud, audio / "x.flac")
    rows = [{"id": "s", "audio_a": "x.flac", "audio_b": soft}]
    options = Mirex(write(audio / "pairs.jsonl", rows), tmp_path / "out", **LOUDNESS)
    main(options)
    assert answers(tmp_path / "out") == {"s": "A"}
    shutil.copyfile(audio / soft, audio / "x.flac")
    rows[0]["audio_b"] = loud
    write(audio / "pairs.jsonl", rows)
    main(options)
    assert answers(tmp_path / "out") == {"s": "B"}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"audio_a": "a", "audio_b": "b"}, "no id: expected one of the fields sample_id, id"),
        ({"id": "x", "audio_a": "a"}, "no audio_b: expected one of the fields audio_b, audio2, audio-b"),
        ({"id": "first", "audio_a": "a", "audio_b": "b"}, "id 'first' comes twice"),
        ({"id": "x", "audio_a": 5, "audio_b": "b"}, "audio_a must be a text, got 5"),
        ({"id": "x", "audio_a": "http://x/a.mp3", "audio_b": "b"}, "audio_a is a URL"),
    ],
)
def test_bad_rows_are_refused(row, message, tmp_path):
    data = write(tmp_path / "pairs.jsonl", [{"id": "first", "audio_a": "a", "audio_b": "b"}, row])
    with pytest.raises(InputError, match=f"line 2: {message}"):
        read_pairs(data, tmp_path)


def test_bad_files_are_refused(tmp_path):
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(InputError, match="holds no pairs"):
        read_pairs(tmp_path / "empty.jsonl", tmp_path)
    (tmp_path / "torn.jsonl").write_text(dump_line({"id": "x", "audio_a": "a", "audio_b": "b"}) + '{"id"')
    with pytest.raises(InputError, match="line 2: expected one JSON object"):
        read_pairs(tmp_path / "torn.jsonl", tmp_path)
