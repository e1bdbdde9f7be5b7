"""Prompt files: what is read, and how each mistake is named."""

import hashlib
import json

import numpy as np
import pytest
import soundfile

from music.clips import read_clip
from music.errors import InputError
from music.prompts import Prompt, load_prompts, prompts_record


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_reference(path, value=0.5):
    soundfile.write(path, np.full(800, value, dtype=np.float32), 8000, subtype="FLOAT")


def test_jsonl(tmp_path):
    write_reference(tmp_path / "r.wav")
    row = {"id": "b", "text": "t", "lyrics": "la", "reference": "r.wav", "facts": {"bpm": 90}}
    path = write(tmp_path / "p.jsonl", {"id": "a", "text": "ä"}, row)
    assert load_prompts(path) == [
        Prompt("a", "ä"),
        Prompt("b", "t", "la", tmp_path / "r.wav", {"bpm": 90}),
    ]
    assert [prompt.id for prompt in load_prompts(str(path), limit=1)] == ["a"]


def test_reference_is_relative_to_the_prompt_file(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    write_reference(tmp_path / "in" / "r.wav")
    write(tmp_path / "in" / "p.jsonl", {"id": "a", "text": "t", "reference": "r.wav"})
    monkeypatch.chdir(tmp_path)
    reference = load_prompts("in/p.jsonl")[0].reference
    assert reference is not None
    assert reference.is_absolute()
    assert reference.samefile(tmp_path / "in" / "r.wav")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": "t"}, "field 'id' is missing"),
        ({"id": "a"}, "field 'text' is missing"),
        ({"id": "a", "text": "  "}, "field 'text' is empty"),
        ({"id": "", "text": "t"}, "field 'id' is empty"),
        ({"id": 3, "text": "t"}, "field 'id' must be a text, got 3"),
        ({"id": "first", "text": "t"}, "id 'first' comes twice, first in line 1"),
        ({"id": "a", "text": "t", "reference": "gone.wav"}, "gone.wav does not exist"),
        ({"id": "a", "text": "t", "lyric": "x"}, "unknown field 'lyric'"),
        ({"id": "a", "text": "t", "lyrics": 5}, "field 'lyrics' must be a text"),
        ({"id": "a", "text": "t", "facts": [1]}, "field 'facts' must be an object"),
        ({"id": "a", "text": "\ud800"}, "half a Unicode surrogate"),
    ],
)
def test_a_bad_row_names_file_line_and_field(tmp_path, row, message):
    path = write(tmp_path / "p.jsonl", {"id": "first", "text": "t"}, row)
    with pytest.raises(InputError, match=message) as caught:
        load_prompts(path)
    assert "p.jsonl line 2" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_txt(tmp_path):
    path = tmp_path / "p.txt"
    path.write_text("slow jazz\n\n fast rock \r\n", encoding="utf-8")
    first, second = load_prompts(path)
    assert (first.text, second.text) == ("slow jazz", "fast rock")
    path.write_text("fast rock\nslow jazz\n", encoding="utf-8")
    assert load_prompts(path) == [second, first]  # ids belong to the text, not to the line
    path.write_text("slow jazz\nslow jazz\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"p\.txt line 2: .* comes twice, first in line 1"):
        load_prompts(path)


def test_bad_references_are_named_with_their_row(tmp_path, monkeypatch):
    monkeypatch.setattr("music.prompts.read_clip", counted := Counted(read_clip))
    write_reference(tmp_path / "good.wav")
    write_reference(tmp_path / "nan.wav", np.nan)
    (tmp_path / "text.wav").write_text("not audio")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 8000)
    good = [{"id": str(index), "text": "t", "reference": "good.wav"} for index in range(3)]
    for name, message in [("nan", "NaN"), ("text", "cannot be read"), ("empty", "zero length")]:
        path = write(tmp_path / "p.jsonl", *good, {"id": "a", "text": "t", "reference": f"{name}.wav"})
        with pytest.raises(
            InputError, match=rf"p\.jsonl line 4: field 'reference': .*{name}\.wav.*{message}"
        ):
            load_prompts(path)
        assert len(load_prompts(path, limit=3)) == 3  # what is not used may be broken
    assert counted.calls == 3 * (2 + 1)  # each file once


class Counted:
    def __init__(self, function):
        self.function, self.calls = function, 0

    def __call__(self, *arguments):
        self.calls += 1
        return self.function(*arguments)


@pytest.mark.parametrize("name", ["nowhere.jsonl", "nowhere.txt", "nothing", "prompts.pdf"])
def test_an_unknown_source_is_one_line(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=name) as caught:
        load_prompts(name)
    assert "\n" not in str(caught.value)


def test_empty_files_limits_and_bytes(tmp_path):
    (tmp_path / "p.txt").write_text("\n\n")
    with pytest.raises(InputError, match="holds no prompt"):
        load_prompts(tmp_path / "p.txt")
    (tmp_path / "p.txt").write_text("a\n")
    with pytest.raises(InputError, match="--limit must be at least 1"):
        load_prompts(tmp_path / "p.txt", limit=0)
    (tmp_path / "p.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not UTF-8"):
        load_prompts(tmp_path / "p.txt")


def test_only_musiccaps_takes_a_selection(tmp_path):
    path = write(tmp_path / "p.jsonl", {"id": "a", "text": "t"})
    for source in (f"{path}:eval", "lab:eval"):
        with pytest.raises(InputError, match=r"takes no selection, got 'eval': only MusicCaps does"):
            load_prompts(source)
    colon = write(tmp_path / "p:q.jsonl", {"id": "a", "text": "t"})
    assert load_prompts(colon) == load_prompts(path)  # a colon in the name of a file is no selection


def test_the_record_names_the_ids_in_a_hash_that_sha256sum_gives(tmp_path):
    path = write(tmp_path / "p.jsonl", {"id": "b", "text": "t"}, {"id": "a", "text": "t"})
    record = prompts_record(path, load_prompts(path))
    assert record == {"source": str(path), "count": 2, "ids_sha256": hashlib.sha256(b"b\na\n").hexdigest()}


def test_the_shipped_prompts_are_enough_for_the_main_job(tmp_path, monkeypatch):
    (tmp_path / "lab").mkdir()
    monkeypatch.chdir(tmp_path)  # a folder of that name is not in the way
    prompts = load_prompts("lab")
    assert len(prompts) >= 24
    assert all(prompt.facts for prompt in prompts)


def test_a_missing_asset_is_an_input_error():
    from music.shipped_files import asset

    with pytest.raises(InputError, match="no-such-model is missing"):
        asset("lab/no-such-model")


@pytest.mark.parametrize(
    "text", ["a slow piano melody, no drums", "tempo: slow", "a slow waltz in 3/4", "word " * 900]
)
def test_several_words_are_one_prompt(tmp_path, text):
    (prompt,) = load_prompts(text)
    (tmp_path / "p.txt").write_text(text)
    assert prompt.text == text.strip()
    assert load_prompts(tmp_path / "p.txt") == [prompt]
    assert prompts_record(text, [prompt])["count"] == 1


@pytest.mark.parametrize(
    "source",
    ["my prompts.txt", "my prompts.csv:ids.txt", "one", "lab :all", "google/x : all", "  ", "./a b c"],
)
def test_a_file_that_is_missing_is_no_prompt(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError):
        load_prompts(source)


@pytest.mark.parametrize("name", ["prompts", "my/prompts", "two words"])
def test_a_folder_is_no_file_and_not_looked_for_elsewhere(name, tmp_path, monkeypatch):
    (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=rf"^prompts {name} is a folder: name the file with the prompts$"):
        load_prompts(name)
