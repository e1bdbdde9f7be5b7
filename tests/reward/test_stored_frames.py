"""Rewards over the same towers share what these give: nothing is heard twice, and no bit of a score changes."""

import dataclasses

import numpy as np
import pytest

from music.prompts import Prompt
from reward import ScoreRequest, load_scorer
from reward.cmi_rm.checkpoint import load_checkpoint, save_checkpoint
from reward.cmi_rm.last_layer import last_layer
from reward.judgements import load_preferences
from reward.train import main
from reward.training.stored_frames import FrameFolder


@pytest.fixture
def deaf(monkeypatch):
    """Return a function that lets a scorer encode nothing any more."""

    def refuse(*_):
        raise AssertionError("the towers were asked")

    def make(scorer):
        monkeypatch.setattr(scorer.towers, "encode_text", refuse)
        monkeypatch.setattr(scorer.towers, "_forward_audio", refuse)
        return scorer

    return make


def test_another_reward_scores_from_what_the_first_has_heard_to_the_bit(heads, golden, deaf, tmp_path):
    folder, places = heads
    requests = golden("sa_conv")[0]
    names = [*places, f"ensemble:{folder}"]
    alone = [load_scorer(name, device="cpu").score(requests) for name in names]
    assert alone[0] != alone[1]
    with FrameFolder(tmp_path / "frames") as frames:
        first = load_scorer(names[0], device="cpu")
        frames.lend(first)
        assert first.score(requests) == alone[0]
    for again in (frames, FrameFolder(tmp_path / "frames")):  # of this run, and of one that goes on later
        for name, expected in zip(names, alone, strict=True):
            scorer = deaf(load_scorer(name, device="cpu"))
            again.lend(scorer)
            assert scorer.score(requests[::-1]) == expected[::-1]


@pytest.mark.parametrize("several", [False, True])
def test_the_last_layer_is_given_the_same(heads, golden, deaf, tmp_path, several):
    folder, places = heads
    requests = golden("sa_conv")[0][:5]
    name = f"ensemble:{folder}" if several else places[1]
    alone = last_layer(load_scorer(name, device="cpu"), requests)
    with FrameFolder(tmp_path / "frames") as frames:
        heard = load_scorer(places[0], device="cpu")
        frames.lend(heard)
        heard.score(requests)
        scorer = deaf(load_scorer(name, device="cpu"))
        frames.lend(scorer)
        found = last_layer(scorer, requests)
    assert np.array_equal(found.features, alone.features)
    assert np.array_equal(found.scores, alone.scores)


def test_a_training_encodes_nothing_that_a_scorer_has_heard(config, scoring, tmp_path):
    config = dataclasses.replace(config, embeddings=str(tmp_path / "frames"), steps=1, evaluate_every=1)
    rows = [*load_preferences(config.train), *load_preferences(config.validation)]
    with FrameFolder(tmp_path / "frames") as frames:
        scorer = load_scorer(scoring / "sa_conv", device="cpu")
        frames.lend(scorer)
        scorer.score([ScoreRequest(path, row.prompt) for row in rows for path in row.audio])
    before = sorted((tmp_path / "frames").rglob("*.safetensors"))
    main(config)
    assert sorted((tmp_path / "frames").rglob("*.safetensors")) == before


def test_towers_that_have_learned_hear_for_themselves(golden, scoring, tmp_path):
    requests = golden("sa_conv")[0][:4]
    model = load_checkpoint(scoring / "sa_conv")
    weights = {
        name: value + 0.01 * value.is_floating_point() for name, value in model.towers.state_dict().items()
    }
    place = tmp_path / "learned"
    config = dataclasses.replace(model.config, model_name=str(scoring / "mulan-tiny"))
    save_checkpoint(place, config, model.head, weights)
    names = (scoring / "sa_conv", place)
    alone = [load_scorer(name, device="cpu").score(requests) for name in names]
    assert alone[0] != alone[1]
    with FrameFolder(tmp_path / "frames") as frames:
        for name, expected in zip(names, alone, strict=True):
            scorer = load_scorer(name, device="cpu")
            frames.lend(scorer)
            assert scorer.score(requests) == expected
    assert len(list((tmp_path / "frames").iterdir())) == 2


def test_clips_in_memory_and_other_scorers_leave_nothing(scorer, scoring, noise, tmp_path):
    request = ScoreRequest(noise(30_000), Prompt("p", "slow sad piano ballad"))
    expected = load_scorer(scoring / "sa_conv", device="cpu").score([request])
    with FrameFolder(tmp_path / "frames") as frames:
        frames.lend(load_scorer("loudness"))
        frames.lend(scorer)
        assert scorer.score([request]) == expected
    assert [path.name[:4] for path in (tmp_path / "frames").rglob("*.safetensors")] == ["text"]
