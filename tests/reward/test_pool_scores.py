"""Scores of a pool: beside it, once, only what is missing, bad audio named."""

import pytest

from music.clips import write_clip
from music.errors import InputError
from music.hashing import candidate_seed
from music.pool import Pool
from music.prompts import Prompt
from reward import score_pool
from reward.score import ScoreConfig, main


@pytest.fixture
def pool(tmp_path, noise):
    """Two prompts with three candidates each; the second has lyrics and a reference."""
    write_clip(tmp_path / "reference.flac", noise(30_000, seed=50))
    prompts = [Prompt("one", "pop"), Prompt("two", "techno", "la la", tmp_path / "reference.flac")]
    found = Pool(tmp_path / "pool", create=True)
    with found.writer("noise", {"loudness": 1}) as writer:
        for number, prompt in enumerate(prompts):
            for index in range(3):
                clip = noise(24_000, seed=10 * number + index)
                writer.add(prompt, index, candidate_seed(0, prompt.id, index), clip)
    found.merge()
    return Pool(tmp_path / "pool")


@pytest.fixture
def asked(scorer, monkeypatch):
    """Return the prompt ids and files that the scorer is asked for."""
    requests, score = [], scorer.score

    def listen(batch):
        requests.extend((request.prompt.id, request.audio.name) for request in batch)
        return score(batch)

    monkeypatch.setattr(scorer, "score", listen)
    return requests


def test_scores_lie_beside_the_pool_and_are_made_once(pool, scorer, asked):
    table = score_pool(pool, scorer)
    assert len(asked) == 6
    assert (pool.folder / "scores" / "sa_conv.jsonl").is_file()
    values = table.table(pool.candidates)
    assert len({scores["musicality"] for scores in values}) == 6
    assert score_pool(pool, scorer).table(pool.candidates) == values
    assert len(asked) == 6


def test_only_what_is_asked_for(pool, scorer, asked):
    wanted = [candidate for candidate in pool if candidate.candidate == 2]
    score_pool(pool, scorer, candidates=wanted)
    assert [prompt for prompt, _ in asked] == ["one", "two"]


def test_the_prompt_is_heard_with_lyrics_and_reference(pool, scorer):
    from reward import ScoreRequest

    candidate = pool.candidates[3]
    with_all = score_pool(pool, scorer).table([candidate])[0]
    bare = scorer.score([ScoreRequest(pool.path(candidate), Prompt("x", candidate.text))])[0]
    assert with_all != bare


def test_changed_audio_is_an_error_that_names_it(pool, scorer, noise):
    write_clip(pool.path(pool.candidates[1]), noise(24_000, seed=77))
    with pytest.raises(InputError, match="candidate 1 of prompt 'one'"):
        score_pool(pool, scorer)


def test_the_command_scores_the_rest_and_says_so(pool, scoring, noise, capsys):
    config = ScoreConfig(pool=str(pool.folder), reward=str(scoring / "sa_conv"), device="cpu")
    good = pool.path(pool.candidates[1]).read_bytes()
    write_clip(pool.path(pool.candidates[1]), noise(24_000, seed=77))
    assert main(config) == 1
    said = capsys.readouterr()
    assert "00001.flac" in said.err
    assert "5 of 6 candidates have scores" in said.err
    assert said.out.splitlines()[1].split()[0] == "1"  # the best first
    assert len(said.out.splitlines()) == 1 + 5
    pool.path(pool.candidates[1]).write_bytes(good)
    assert main(config) == 0


def test_the_command_tells_what_was_done_to_clips(pool, scoring, tmp_path, capsys):
    options = {"reward": str(scoring / "sa_conv"), "device": "cpu", "reward_options": "max_seconds=0.5"}
    assert main(ScoreConfig(pool=str(pool.folder), csv=str(tmp_path / "all.csv"), **options)) == 0
    assert "6 of 6 clips were heard in part\n" in capsys.readouterr().err
    assert (tmp_path / "all.csv").read_text().count(",only the first 0.5 s of 1.0 s were heard,") == 6
