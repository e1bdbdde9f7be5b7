"""Scores beside a pool: kept by clip and by version of the scorer, never used for anything else."""

import json

import pytest
import torch

from music.clips import Clip, write_clip
from music.errors import InputError
from music.hashing import sha256_file
from music.pool import Pool
from music.scores import ScoreTable
from tests.music import fill_with_noise


@pytest.fixture
def pool(tmp_path):
    fill_with_noise.fill(tmp_path / "pool", 2, 2)
    return Pool(tmp_path / "pool")


def table(pool, version="1", scorer="judge", rank=0):
    return ScoreTable(pool.folder, scorer, version, ("a", "b"), rank)


def test_scores_come_back_and_are_not_asked_for_again(pool):
    with table(pool) as scores:
        assert scores.missing(pool) == pool.candidates
        scores.append(pool.candidates[2], {"b": 2.0, "a": 1})
        assert scores.missing(pool) == pool.candidates[:2] + pool.candidates[3:]
    again = table(pool)
    assert again.table([pool.candidates[2]]) == [{"a": 1.0, "b": 2.0}]
    with pytest.raises(InputError, match=r"no score for candidate 0 of prompt 'song/0' \(3 missing\)"):
        again.table(pool)


def test_another_version_of_a_scorer_has_scores_of_its_own(pool):
    with table(pool) as one, table(pool, "2", rank=1) as two:
        one.append(pool.candidates[0], {"a": 1, "b": 1})
        two.append(pool.candidates[0], {"a": 2, "b": 2})
    table(pool).merge()
    assert table(pool).table(pool.candidates[:1]) == [{"a": 1.0, "b": 1.0}]
    assert table(pool, "2").table(pool.candidates[:1]) == [{"a": 2.0, "b": 2.0}]
    assert table(pool, "3").missing(pool) == pool.candidates


def test_a_score_for_changed_audio_is_not_used(pool):
    found = pool.candidates[0]
    with table(pool) as scores:
        scores.append(found, {"a": 1, "b": 1})
    write_clip(pool.path(found), Clip(torch.zeros(1, 50), 8000))
    metadata = pool.folder / "metadata.jsonl"
    metadata.write_text(metadata.read_text().replace(found.sha256, sha256_file(pool.path(found))))
    changed = Pool(pool.folder)
    assert table(changed).missing(changed) == changed.candidates


def test_two_writers_merge_into_canonical_order(pool):
    for rank in (1, 0):
        with table(pool, rank=rank) as scores:
            for candidate in pool.candidates[rank::2]:
                scores.append(candidate, {"a": rank, "b": 0})
    assert sorted(file.name for file in (pool.folder / "scores").iterdir()) == [
        "judge-00000.jsonl",
        "judge-00001.jsonl",
    ]
    before = table(pool).table(pool)
    table(pool).merge()
    assert [file.name for file in (pool.folder / "scores").iterdir()] == ["judge.jsonl"]
    assert table(pool).table(pool) == before == [{"a": float(index % 2), "b": 0.0} for index in range(4)]
    text = (pool.folder / "scores" / "judge.jsonl").read_text()
    keys = [f'"song/{prompt}", "candidate": {index}' for prompt in range(2) for index in range(2)]
    assert [text.index(key) for key in keys] == sorted(text.index(key) for key in keys)


@pytest.mark.parametrize("bad", [{"a": 1.0}, {"a": 1.0, "b": 1.0, "c": 1.0}, {"a": float("nan"), "b": 0.0}])
def test_unusable_scores_are_refused(pool, bad):
    with table(pool) as scores, pytest.raises(InputError, match=r"judge on candidate 0 of prompt 'song/0'"):
        scores.append(pool.candidates[0], bad)
    assert table(pool).missing(pool) == pool.candidates


@pytest.mark.parametrize("name", ["org/model", "../up", "judge-00001", "a*b", ".hidden", "Ü"])
def test_any_scorer_name_makes_a_file_of_its_own(pool, name):
    with table(pool) as plain, table(pool, scorer=name) as odd:
        odd.append(pool.candidates[0], {"a": 1, "b": 1})
        assert plain.missing(pool) == table(pool).missing(pool) == pool.candidates
    assert len(table(pool, scorer=name).missing(pool)) == 3
    assert {file.parent for file in pool.folder.parent.rglob("*.jsonl")} == {
        pool.folder,
        pool.folder / "scores",
    }


@pytest.mark.parametrize(
    "row", [{"scores": None}, {"candidate": [0]}, {"candidate": "0"}, {"scores": {"a": "1"}}]
)
def test_a_bad_row_is_named(pool, row):
    (pool.folder / "scores").mkdir()
    whole = {"prompt_id": "x", "candidate": 0, "sha256": "0", "hash": "1", "scores": {"a": 1.0, "b": 1.0}}
    (pool.folder / "scores" / "judge.jsonl").write_text(json.dumps(whole | row) + "\n")
    with pytest.raises(InputError, match=r"judge\.jsonl line 1"):
        table(pool)
