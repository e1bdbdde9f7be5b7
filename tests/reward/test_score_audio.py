"""A folder of audio, or a file of it, scored for one prompt: the list, the table, what fails and why."""

import csv
import json
from pathlib import Path

import pytest

from music.clips import write_clip
from music.command import parse_command
from music.errors import InputError
from reward.score import ScoreConfig, main
from reward.scoring.ranking import ScoredClip, ranked_csv, ranked_list, told_failures

LOUDNESS = ("--reward", "tests.scaling.loudness_scorer:LoudnessScorer", "--device", "cpu")


@pytest.fixture
def folder(tmp_path, noise):
    """Three clips, one of them deeper; a hidden one; and a file that is no audio."""
    for index, name in enumerate(("quiet.wav", "take 2.FLAC", "more/loud.mp3", ".hidden/x.wav")):
        write_clip(tmp_path / "clips" / f"{name}.flac", noise(4000, seed=index))
        (tmp_path / "clips" / f"{name}.flac").rename(tmp_path / "clips" / name)
    (tmp_path / "clips" / "notes.txt").write_text("no audio")
    return tmp_path / "clips"


def score(*words):
    return main(parse_command(ScoreConfig, [*LOUDNESS, *map(str, words)]))


def table(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def test_a_folder_is_ranked_on_the_terminal(folder, capsys):
    assert score(folder, "--text", "a slow piano") == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0].split() == ["mean", "musicality", "alignment", "clip"]
    assert [line.split()[0] for line in lines[1:]] == ["1", "2", "3"]
    assert sorted(line.split(maxsplit=4)[-1] for line in lines[1:]) == [
        "more/loud.mp3",
        "quiet.wav",
        "take 2.FLAC",
    ]
    means = [float(line.split()[1]) for line in lines[1:]]
    assert means == sorted(means, reverse=True)
    assert "3 rows scored, 0 kept, 0 failed" in said.err
    assert sorted(path.name for path in folder.parent.iterdir()) == ["clips"]


def test_scores_and_table_are_written_and_taken_up(folder, capsys):
    output, ranking = folder / "scores.jsonl", folder.parent / "ranking.csv"
    assert score(folder, output, "--text", "pop", "--csv", ranking) == 0
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert {row["id"]: row["text"] for row in rows} == {
        name: "pop" for name in ("more/loud.mp3", "quiet.wav", "take 2.FLAC")
    }
    lines = table(ranking)
    assert [line["rank"] for line in lines] == ["1", "2", "3"]
    best = max(rows, key=lambda row: row["musicality"] + row["alignment"])
    assert (lines[0]["id"], float(lines[0]["musicality"])) == (best["id"], best["musicality"])
    capsys.readouterr()
    assert score(folder, output, "--text", "pop") == 0
    assert "0 rows scored, 3 kept, 0 failed" in capsys.readouterr().err
    assert score(folder, output, "--text", "rock") == 0
    assert "3 rows scored, 0 kept, 0 failed" in capsys.readouterr().err


def test_one_file_is_scored_and_a_missing_prompt_is_told(folder, capsys):
    assert score(folder / "quiet.wav") == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[1].endswith("quiet.wav")
    assert "no --text says what the clips were made for" in said.err


def test_each_clip_that_fails_says_why(folder, capsys):
    (folder / "a.m4a").write_bytes(b"\0\0\0\x20ftypM4A " + bytes(50))
    (folder / "b.wav").write_bytes(b"")
    assert score(folder, "--text", "pop", "--csv", folder.parent / "out.csv") == 1
    said = capsys.readouterr().err.splitlines()
    assert "3 rows scored, 0 kept, 2 failed" in said
    assert any(line.startswith("a.m4a: ") and "MPEG-4" in line for line in said)
    assert any(line.startswith("b.wav: ") and "empty" in line for line in said)
    errors = {line["id"]: line["error"] for line in table(folder.parent / "out.csv")}
    assert "MPEG-4" in errors["a.m4a"]
    assert errors["quiet.wav"] == ""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--text", "pop"], "expected either FOLDER, IN.jsonl OUT.jsonl or --pool DIR"),
        (
            ["in.jsonl", "out.jsonl", "--text", "pop"],
            "--text is for a folder of audio; the rows of in.jsonl have",
        ),
        (["--pool", "pool", "--text", "pop"], "--text is for a folder of audio; a pool holds its prompts"),
        (["clips", "out.csv"], "the output must be a .jsonl file .*table is written by --csv"),
        (["clips", "--root", "."], "--root is for the rows of a file"),
        (["in.jsonl", "out.jsonl", "--root", "nowhere"], "--root nowhere is not a folder"),
        (["nowhere", "--text", "pop"], "input nowhere does not exist"),
        (["clips/notes.txt"], "expected either FOLDER"),
        (["empty", "--text", "pop"], "empty holds no audio file"),
        (
            ["clips", "out.jsonl", "--csv", "clips/../out.jsonl"],
            "--csv must name a .csv file, got clips/../out.jsonl",
        ),
        (["clips", "--csv", "clips/quiet.wav"], "--csv must name a .csv file, got clips/quiet.wav"),
        (["clips", "--csv", "."], "--csv must name a .csv file, got ."),
        (["clips", "--csv", "dir.csv"], "--csv must name a file, got the folder dir.csv"),
        (["clips", "--csv", "clips/notes.txt/x.csv"], "is a file"),
    ],
)
def test_what_cannot_be_meant_is_refused(folder, monkeypatch, options, message):
    monkeypatch.chdir(folder.parent)
    for name in ("empty", "dir.csv"):
        (folder.parent / name).mkdir()
    (folder.parent / "in.jsonl").write_text('{"id": "a", "audio": "clips/quiet.wav"}\n')
    with pytest.raises(InputError, match=message):
        score(*options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["pool/metadata.jsonl"],
            "or --pool DIR: clips of a pool, whose rows these are, are scored by --pool pool",
        ),
        (
            ["pool/metadata.jsonl", "out.jsonl"],
            "line 1: expected a field 'id' .*: score a pool by --pool pool",
        ),
    ],
)
def test_rows_of_a_pool_are_known_for_what_they_are(folder, monkeypatch, capsys, options, message):
    monkeypatch.chdir(folder.parent)
    folder.rename("pool")
    Path("pool/metadata.jsonl").write_text('{"file_name": "quiet.wav", "prompt_id": "a", "candidate": 0}\n')
    with pytest.raises(InputError, match=message):
        score(*options)
    assert score("pool") == 0
    assert "judged without a prompt (those of a pool are scored by --pool pool)" in capsys.readouterr().err


CLIPS = [ScoredClip({"id": f"{i}\nx", "facts": {"a": i}}, {"m": float(i)}) for i in range(4)]


def test_a_name_cannot_steer_the_terminal():
    clips = [ScoredClip({"id": "\x1b[31ma\u202eb"}, {"m": 1.0}), ScoredClip({"id": "\x1b"}, error="no\x07")]
    assert ranked_list(clips, ["m"]).splitlines()[1] == "1  1.0000  ?[31ma?b"
    assert told_failures(clips) == ["?: no?"]


def test_a_long_list_is_cut_and_counted():
    assert ranked_list(CLIPS, ["m"], most=2).splitlines() == [
        "        m  clip",
        "1  3.0000  3 x",
        "2  2.0000  2 x",
        "... and 2 more",
    ]
    assert ranked_list([], ["m"]) == ""


def test_the_first_ten_reasons_are_told_in_a_line_each():
    failed = [ScoredClip({"id": str(number)}, error="bad\nfile") for number in range(13)]
    told = told_failures([*CLIPS, *failed])
    assert told[0] == "0: bad file"
    assert len(told) == 11
    assert told[-1] == "... and 3 more failed"


def test_the_table_holds_the_fields_of_rows_and_what_is_nested_as_json():
    lines = ranked_csv([CLIPS[0], ScoredClip({"id": "x"}, error="bad")], ["m"]).splitlines()
    assert lines[0] == "rank,id,facts,mean,m,error"
    assert lines[-1] == ",x,,,,bad"
    assert '"{""a"": 0}"' in "\n".join(lines)


def test_a_link_to_nothing_fails_and_is_told(folder, capsys):
    (folder / "gone.wav").symlink_to("nowhere.wav")
    (folder / "folder.wav").mkdir()
    assert score(folder, "--text", "pop") == 1
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 4
    assert said.err.splitlines()[-1].startswith("gone.wav: audio file")


SCORERS = """
from music.errors import InputError
from reward.protocol import Scorer
class Tempo(Scorer):
    name, metrics, hash, higher_is_better = "tempo", ("bpm",), "0", False
    def score(self, requests):
        return [{"bpm": 90.0} for _ in requests]
class Singing(Tempo):
    def check_prompt(self, prompt):
        if not prompt.lyrics:
            raise InputError("no lyrics are there to be heard")
"""


def test_what_only_describes_is_not_called_best(folder, capsys):
    (folder.parent / "scorers.py").write_text(SCORERS)
    assert score(folder, "--text", "pop", "--reward", f"{folder.parent}/scorers.py:Tempo") == 0
    assert "note: tempo describes clips and does not judge them" in capsys.readouterr().err


def test_a_prompt_that_the_scorer_refuses_is_told_once(folder):
    (folder.parent / "scorers.py").write_text(SCORERS)
    with pytest.raises(InputError, match="no lyrics are there"):
        score(folder, "--text", "pop", "--reward", f"{folder.parent}/scorers.py:Singing")
