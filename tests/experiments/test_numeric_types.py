"""The lab's reward model orders songs in bfloat16 as in float32, and songs that cannot be read are told."""

import json

import pytest

from experiments.benchmarks.numeric_types import NumericTypes, main
from experiments.lab.world.coded_audio import clip_of
from experiments.lab.world.corpus import Song, stream
from experiments.lab.world.facts import draw_facts
from music.clips import write_clip
from music.errors import InputError
from music.jsonl import dump_line


def songs(folder, count):
    """Write songs of 2 s, two of three of them damaged; return their rows."""
    rows = []
    for number in range(count):
        facts = draw_facts(stream("numeric types", number), vocals=False)
        damage = {"noise": number % 3 / 2} if number % 3 else {}
        song = Song(("test", "numeric types", number), facts, 2.0, damage)
        path = folder / f"{number}.wav"
        write_clip(path, clip_of(song))
        text = song.caption(("instrument", "tempo", "mode", "register"))
        rows.append({"id": str(number), "audio": path.name, "text": text})
    return rows


def test_both_types_order_the_labs_songs_alike(tmp_path, capsys):
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(map(dump_line, songs(tmp_path, 40))))
    assert main(NumericTypes(rows, device="cpu")) == 0
    found = json.loads(capsys.readouterr().out)
    for metric in ("musicality", "alignment"):
        assert (found[metric]["metric"], found[metric]["n"]) == ("SRCC", 40)
        assert 0.99 <= found[metric]["value"] <= 1
        if found[metric]["value"] < 1:  # where all songs keep their places there is nothing to resample
            assert found[metric]["low"] <= found[metric]["value"] <= found[metric]["high"]
        assert 0 < found[metric]["largest_difference"] < 0.5  # they are two types
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix == ".jsonl") == ["rows.jsonl"]


def test_songs_that_cannot_be_read_are_left_out_and_told(tmp_path, capsys):
    rows = [*songs(tmp_path, 3), {"id": "none", "audio": "none.wav"}]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(map(dump_line, rows)))
    assert main(NumericTypes(path, device="cpu")) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["left_out"], found["alignment"]["n"], found["alignment"]["low"]) == (1, 3, None)
    path.write_text(dump_line(rows[-1]))
    with pytest.raises(InputError, match="none of the 1 clips"):
        main(NumericTypes(path, device="cpu"))
    with pytest.raises(InputError, match="does not exist"):
        main(NumericTypes(tmp_path / "no.jsonl"))
