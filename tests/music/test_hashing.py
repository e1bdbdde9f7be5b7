"""Hashes, seeds and path names are stable and tell things apart."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from music.errors import InputError
from music.hashing import (
    candidate_seed,
    canonical_json,
    path_name,
    sha256_file,
    sha256_folder,
    sha256_text,
)


def test_canonical_json_does_not_depend_on_order():
    assert canonical_json({"b": 1, "a": [1.5, "ä"]}) == canonical_json({"a": [1.5, "ä"], "b": 1})


def test_canonical_json_refuses_nan():
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json(float("nan"))


def test_sha256_of_text_and_file_agree(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_text("abc") == sha256_file(tmp_path / "a") == known


def test_what_may_have_no_end_is_not_hashed(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(InputError, match=f"cannot read {path}: it is no regular file"):
            sha256_file(path)


def test_folder_hash_sees_names_and_bytes_but_not_place_or_hidden_files(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / "w.bin").write_bytes(b"x")
    (tmp_path / "two" / ".cache").mkdir()
    (tmp_path / "two" / ".cache" / "junk").write_bytes(b"y")
    first = sha256_folder(tmp_path / "one")
    assert first == sha256_folder(tmp_path / "two")
    (tmp_path / "two" / "sub" / "w.bin").write_bytes(b"z")
    assert first != sha256_folder(tmp_path / "two")
    (tmp_path / "one" / "sub" / "w.bin").rename(tmp_path / "one" / "sub" / "v.bin")
    assert first != sha256_folder(tmp_path / "one")


def test_folder_hash_of_patterns(tmp_path):
    (tmp_path / "a.json").write_text("{}")
    before = sha256_folder(tmp_path, ["*.json"])
    (tmp_path / "notes.txt").write_text("n")
    (tmp_path / "checkpoint-500").mkdir()
    (tmp_path / "checkpoint-500" / "a.json").write_text("{}")  # of a training that goes on in there
    assert before == sha256_folder(tmp_path, ["*.json"])
    with pytest.raises(InputError, match=r"no file matching \*\.bin"):
        sha256_folder(tmp_path, ["*.bin"])


def test_seed_is_63_bits_and_pinned():
    assert candidate_seed(0, "a", 0) == int(sha256_text('[0,"a",0]')[:16], 16) >> 1
    seeds = {candidate_seed(run, name, index) for run in (0, 1) for name in ("a", "b") for index in range(50)}
    assert len(seeds) == 200
    assert all(0 <= seed < 2**63 for seed in seeds)


@given(st.text(), st.text())
def test_path_names_are_safe_and_differ(one, two):
    for text in (one, two):
        name = path_name(text)
        assert name.isascii()
        assert len(name) <= 60
        assert not set(name) - set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert (path_name(one) == path_name(two)) == (one == two)


def test_path_names_of_tricky_ids():
    tricky = ["", ".", "..", "/", "a/b", "a\\b", "A/B", "CON", "a" * 5000, "ä", "a ", " a", "\0", "🎵"]
    names = [path_name(text) for text in tricky]
    assert len({name.lower() for name in names}) == len(tricky)
