"""Selection and the folder of selected clips."""

import json

import numpy as np
import pytest

from music.clips import write_clip
from music.errors import InputError
from scaling.choose_best import choose_best, write_best
from tests.scaling.noise_pool import clip, make_noise_pool


def test_the_highest_wins_and_of_equals_the_first():
    assert choose_best(np.array([[0.0, 2, 1], [3, 3, 3], [1, 2, 2]])).tolist() == [1, 0, 1]


def write(made, folder, rewards):
    chosen = [row[index] for row, index in zip(made.candidates, choose_best(rewards), strict=True)]
    write_best(folder, made.pool, chosen, [{"reward": float(value)} for value in rewards.max(axis=1)])
    return chosen


def check(made, folder, chosen):
    rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]
    assert [(row["prompt_id"], row["candidate"]) for row in rows] == [found.key for found in chosen]
    for row, found in zip(rows, chosen, strict=True):
        assert (folder / row["file_name"]).read_bytes() == made.pool.path(found).read_bytes()
        assert row["text"] == found.text
    assert len(list(folder.iterdir())) == len(rows) + 1
    return rows


def test_one_clip_a_prompt_with_its_numbers(tmp_path):
    made = make_noise_pool(tmp_path)
    rows = check(made, tmp_path / "best", write(made, tmp_path / "best", made.rewards))
    assert [row["reward"] for row in rows] == made.rewards.max(axis=1).tolist()


def test_another_choice_replaces_the_first(tmp_path):
    made = make_noise_pool(tmp_path)
    write(made, tmp_path / "best", made.rewards)
    (tmp_path / "best" / ".tmp-0-x.flac").write_bytes(b"left over")
    check(made, tmp_path / "best", write(made, tmp_path / "best", -made.rewards))


def test_a_clip_that_was_changed_is_not_passed_on(tmp_path):
    made = make_noise_pool(tmp_path)
    victim = made.candidates[1][int(made.rewards[1].argmax())]
    write_clip(made.pool.path(victim), clip(77, 8000, 1))
    with pytest.raises(InputError, match="was changed"):
        write(made, tmp_path / "best", made.rewards)
    assert not (tmp_path / "best").exists()


def test_files_of_others_stay(tmp_path):
    made = make_noise_pool(tmp_path)
    best = tmp_path / "best"
    (best / ".tmp-folder").mkdir(parents=True)
    (best / "mine.flac").write_text("mine")
    write(made, best, made.rewards)
    write(made, best, -made.rewards)
    assert (best / "mine.flac").read_text() == "mine"
    assert (best / ".tmp-folder").is_dir()
    assert len(list(best.glob("*.flac"))) == 3 + 1


def test_a_choice_that_was_killed_before_its_metadata_is_cleared(tmp_path):
    made = make_noise_pool(tmp_path)
    write(made, tmp_path / "best", made.rewards)
    (tmp_path / "best" / "metadata.jsonl").unlink()
    check(made, tmp_path / "best", write(made, tmp_path / "best", -made.rewards))


def test_clips_of_an_earlier_pool_go(tmp_path):
    (tmp_path / "best").mkdir()
    (tmp_path / "mine.flac").write_text("mine")
    (tmp_path / "best" / "old.flac").write_text("old")
    rows = '{"file_name": "old.flac"}\n{"file_name": "../mine.flac"}\n'
    (tmp_path / "best" / "metadata.jsonl").write_text(rows)
    made = make_noise_pool(tmp_path)
    check(made, tmp_path / "best", write(made, tmp_path / "best", made.rewards))
    assert (tmp_path / "mine.flac").exists()
