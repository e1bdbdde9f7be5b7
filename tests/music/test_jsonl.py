"""JSON Lines survive kills: a torn end does not count and is healed, everything else is an error."""

import fcntl
import json
import subprocess
import sys

import pytest

from music.errors import InputError
from music.jsonl import JsonlAppender, read_jsonl

ROWS = [{"a": 1}, {"a": "ü\u2028\n"}, {"a": None}]


def test_rows_come_back_with_their_lines(tmp_path):
    path = tmp_path / "deep" / "t.jsonl"
    with JsonlAppender(path) as appender:
        for row in ROWS:
            appender.append(row)
    assert read_jsonl(path) == list(enumerate(ROWS, start=1))


def test_every_torn_end_heals(tmp_path):
    whole = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
    start = whole.rfind(b"\n", 0, -1) + 1
    for cut in range(start, len(whole) + 1):
        path = tmp_path / f"{cut}.jsonl"
        path.write_bytes(whole[:cut])
        kept = (
            ROWS if cut >= len(whole) - 1 else ROWS[:-1]
        )  # without its newline the last row is whole all the same
        assert [row for _, row in read_jsonl(path)] == kept
        with JsonlAppender(path) as appender:
            appender.append({"new": 1})
        assert [row for _, row in read_jsonl(path, torn_end=False)] == [*kept, {"new": 1}]


@pytest.mark.parametrize("bad", ["{", "[1]", "3", '{"a": }'])
def test_a_bad_line_is_named(tmp_path, bad):
    path = tmp_path / "t.jsonl"
    path.write_bytes(b'{"a": 1}\n\n' + bad.encode("latin-1") + b'\n{"a": 2}\n')
    with pytest.raises(InputError, match=r"t\.jsonl line 3: expected one JSON object"):
        read_jsonl(path)


def test_a_torn_end_in_a_file_of_a_person_is_an_error(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text('{"a": 1}\n{"a": ')
    assert len(read_jsonl(path)) == 1
    with pytest.raises(InputError, match="line 2"):
        read_jsonl(path, torn_end=False)


def test_a_missing_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        read_jsonl(tmp_path / "nowhere.jsonl")


def test_a_second_writer_is_refused_and_a_dead_one_is_not(tmp_path):
    path = tmp_path / "t.jsonl"
    code = f"""
import os
from music.jsonl import JsonlAppender
JsonlAppender({str(path)!r}).append({{"a": 1}})
os._exit(9)
"""
    with JsonlAppender(path), pytest.raises(InputError, match="another process is writing"):
        JsonlAppender(path)
    assert subprocess.run([sys.executable, "-c", code]).returncode == 9
    with JsonlAppender(path) as appender:
        appender.append({"a": 2})
    assert [row for _, row in read_jsonl(path)] == [{"a": 1}, {"a": 2}]


def test_half_a_character_that_somebody_has_said_ends_no_work(tmp_path):
    with JsonlAppender(tmp_path / "t.jsonl") as file:
        file.append({"error": "the server said \ud83d", "key": "\U0001f3b5"})
    assert read_jsonl(tmp_path / "t.jsonl") == [(1, {"error": "the server said ?", "key": "\U0001f3b5"})]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{"text": "calm \\ud83d"}', r"holds half a Unicode surrogate pair, not a character: 'calm \\ud83d'"),
        ('{"facts": [{"\\uDCE9": 1}]}', "holds half a Unicode surrogate pair"),
        ("\udcff", r"is not UTF-8 text \(byte 0\)"),
        ("[" * 100_000, "more than 100 levels deep"),
        ('{"facts": ' + "[" * 200 + "]" * 200 + "}", "more than 100 levels deep"),
    ],
)
def test_what_could_not_be_written_again_is_refused(tmp_path, row, message):
    rows = f'{{"text": "\\ud83c\\udfb5"}}\n{row}\n'
    (tmp_path / "rows.jsonl").write_bytes(rows.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=rf"rows\.jsonl line 2: {message}|rows\.jsonl line 2: .*{message}"):
        read_jsonl(tmp_path / "rows.jsonl")
    (tmp_path / "rows.jsonl").write_text('{"text": "\\ud83c\\udfb5"}\n')
    assert read_jsonl(tmp_path / "rows.jsonl") == [(1, {"text": "\U0001f3b5"})]


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "Infinity", "1e999"])
def test_numbers_that_json_does_not_know_are_refused(tmp_path, number):
    path = tmp_path / "t.jsonl"
    path.write_text('{"a": 1}\n{"facts": [' + number + "]}\n")
    with pytest.raises(InputError, match=rf"t\.jsonl line 2: holds {number}, expected finite numbers"):
        read_jsonl(path)


def test_a_file_that_was_removed_before_it_was_locked_is_opened_again(tmp_path, monkeypatch):
    path = tmp_path / "t.jsonl"
    real, calls = fcntl.flock, []

    def removed_meanwhile(descriptor, operation):
        calls.append(descriptor)
        if len(calls) == 1:
            path.unlink()
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", removed_meanwhile)
    with JsonlAppender(path) as appender:
        appender.append({"a": 1})
    assert len(calls) == 2
    assert [row for _, row in read_jsonl(path)] == [{"a": 1}]
