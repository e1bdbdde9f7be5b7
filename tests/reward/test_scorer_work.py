"""What the scorer computes, how often, and what it refuses."""

from dataclasses import replace

import pytest
import torch

from music.clips import Clip, write_clip
from music.errors import InputError
from music.prompts import Prompt
from reward import ScoreRequest, load_scorer
from reward.caches import TensorCache
from reward.cmi_rm.checkpoint import load_checkpoint
from reward.cmi_rm.scorer import CMIRMScorer

PROMPT = Prompt("p", "slow sad piano ballad")


@pytest.fixture
def calls(scorer, monkeypatch):
    """Count what the towers are asked to encode."""
    counts = {"text": 0, "chunks": 0}
    text, audio = scorer.towers.encode_text, scorer.towers._forward_audio

    def count_text(value):
        counts["text"] += 1
        return text(value)

    def count_audio(waves):
        counts["chunks"] += len(waves)
        return audio(waves)

    monkeypatch.setattr(scorer.towers, "encode_text", count_text)
    monkeypatch.setattr(scorer.towers, "_forward_audio", count_audio)
    return counts


def test_ten_candidates_share_the_work_on_their_prompt(scorer, calls, noise, tmp_path):
    write_clip(tmp_path / "reference.flac", noise(30_000, seed=99))
    prompt = Prompt("p", "upbeat pop song", "la la la", tmp_path / "reference.flac")
    scorer.score([ScoreRequest(noise(24_000 + 240 * index, seed=index), prompt) for index in range(10)])
    assert calls == {"text": 2, "chunks": 11}


def test_audio_that_occurs_twice_is_encoded_once(scorer, calls, noise, tmp_path):
    for name in ("a", "b"):
        write_clip(tmp_path / f"{name}.flac", noise(30_000))
    requests = [ScoreRequest(tmp_path / f"{name}.flac", PROMPT) for name in ("a", "b", "a")]
    found = scorer.score([*requests, ScoreRequest(tmp_path / "a.flac", replace(PROMPT, text="techno"))])
    assert calls["chunks"] == 1
    assert found[0] == found[1] == found[2] != found[3]


def test_caches_are_bounded():
    cache = TensorCache(max_bytes=4 * 100)
    made = []
    for key in (1, 2, 1, 3, 4, 5, 1, 2):
        cache.get(key, lambda key=key: made.append(key) or (torch.zeros(25),))
    assert made == [1, 2, 3, 4, 5, 2]  # 5 took the place of 2, the least recently used
    assert len(cache) == 4
    assert cache.get("large", lambda: (torch.ones(1000),))[0].sum() == 1000
    assert "large" not in cache


def test_stereo_is_averaged(scorer, noise):
    stereo = noise(30_000, channels=2)
    both = scorer.score([ScoreRequest(stereo, PROMPT), ScoreRequest(stereo.mono(), PROMPT)])
    assert both[0] == both[1]


def test_chunks_are_encoded_alone_and_a_short_tail_is_dropped(towers, noise):
    long = noise(30 * 24_000 + 30_000)
    whole = towers.encode_audio(long)
    first, second = (Clip(part, 24_000) for part in long.waveform.split(30 * 24_000, dim=1))
    assert torch.equal(whole, torch.cat([towers.encode_audio(first), towers.encode_audio(second)]))
    tail = Clip(long.waveform[:, : 30 * 24_000 + 1024], 24_000)
    assert torch.equal(towers.encode_audio(tail), towers.encode_audio(first))


def test_chunks_of_equal_length_go_together(towers, noise):
    lengths = [30_000, 20_000, 30_000, 20_000, 30_000, 1_025]
    clips = [noise(samples, seed=index) for index, samples in enumerate(lengths)]
    alone = [towers.encode_audio(clip) for clip in clips]
    for found, expected in zip(towers.encode_audios(clips), alone, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_cores_share_the_work_and_the_weights(scorer, noise):
    lengths = [30_000, 20_000, 41_000, 20_000, 30_000, 15_000, 52_000, 63_000] * 2
    clips = [noise(samples, seed=index) for index, samples in enumerate(lengths)]
    requests = [ScoreRequest(clip, PROMPT) for clip in clips]
    alone = [scorer.score([request])[0] for request in requests]
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        for _ in range(5):
            scorer.forget()
            for found, expected in zip(scorer.score(requests), alone, strict=True):
                assert found == pytest.approx(expected, abs=1e-5)
    finally:
        torch.set_num_threads(before)
    another = scorer.towers.sharing_weights()
    assert all(
        one is other for one, other in zip(another.parameters(), scorer.towers.parameters(), strict=True)
    )
    assert another.hash == scorer.towers.hash


def test_references_are_heard_once_and_a_bad_one_among_others_is_named(scorer, noise, tmp_path):
    places = [tmp_path / name for name in ("one.flac", "two.flac", "short.flac")]
    for place, samples in zip(places, (30_000, 24_000, 500), strict=True):
        write_clip(place, noise(samples))
    requests = [ScoreRequest(noise(30_000, seed=1), replace(PROMPT, reference=place)) for place in places]
    alone = [scorer.score([request])[0] for request in requests[:2]]
    scorer.forget()
    for found, expected in zip(scorer.score(requests[:2]), alone, strict=True):
        assert found == pytest.approx(expected, abs=1e-5)
    with pytest.raises(InputError, match=r"reference .*short\.flac: audio of 0\.021 s is too short"):
        scorer.score(requests)


def test_a_bad_reference_is_named(scorer, noise, tmp_path):
    write_clip(tmp_path / "short.flac", noise(500))
    with pytest.raises(InputError, match=r"reference .*short\.flac: audio of 0\.021 s is too short"):
        scorer.score([ScoreRequest(noise(30_000), replace(PROMPT, reference=tmp_path / "short.flac"))])


def test_only_the_first_seconds_are_heard(scoring, noise):
    scorer = load_scorer(scoring / "sa_conv", device="cpu", max_seconds=2.0)
    clip = noise(24_000 * 3)
    prompt = replace(PROMPT, text="techno")
    found = scorer.score([ScoreRequest(clip, prompt), ScoreRequest(clip.first(2.0), prompt)])
    assert found[0] == found[1]
    assert scorer.hash != load_scorer(scoring / "sa_conv").hash


@pytest.mark.parametrize("samples", [1, 1024])
def test_a_clip_too_short_for_the_mel_front_end_is_refused(scorer, noise, samples):
    with pytest.raises(InputError, match="too short"):
        scorer.score([ScoreRequest(noise(samples), PROMPT)])


def test_a_clip_too_short_for_the_downsampler_is_refused(scorer, noise):
    with pytest.raises(InputError, match=r"8 frames .* this model needs 9"):
        scorer.score([ScoreRequest(noise(8 * 960), PROMPT)])
    assert scorer.score([ScoreRequest(noise(9 * 960), PROMPT)])


def test_a_reference_shorter_than_the_factor_counts_as_none(scorer, noise, tmp_path):
    write_clip(tmp_path / "reference.flac", noise(5 * 960))
    requests = [
        ScoreRequest(noise(30_000), replace(PROMPT, reference=path))
        for path in (None, tmp_path / "reference.flac")
    ]
    found = scorer.score(requests)
    assert found[0] == found[1]


def test_long_texts_are_cut_to_512_tokens(towers):
    assert towers.encode_text("la " * 2000).shape == (512, 24)
    assert towers.encode_text("").shape == (2, 24)


def test_bfloat16_is_near_and_has_its_own_hash(scoring, golden, scorer):
    requests, expected = golden("sa_conv")
    half = load_scorer(scoring / "sa_conv", device="cpu", dtype="bfloat16")
    found = half.score(requests[:4])
    differences = [abs(a[name] - b[name]) for a, b in zip(found, expected[:4], strict=True) for name in b]
    assert 0 < max(differences) < 0.05
    assert half.hash != scorer.hash


def test_loading_leaves_the_random_state_alone(scoring):
    import random

    torch.manual_seed(1)
    random.seed(1)
    expected = torch.rand(1), random.random()
    torch.manual_seed(1)
    random.seed(1)
    load_scorer(scoring / "sa_conv", device="cpu")
    assert (torch.rand(1), random.random()) == expected


def test_unknown_device_and_dtype_are_refused(scoring):
    with pytest.raises(InputError, match="--device"):
        load_scorer(scoring / "sa_conv", device="quantum")
    with pytest.raises(InputError, match="--dtype"):
        load_scorer(scoring / "sa_conv", dtype="float8")


@pytest.mark.parametrize("text", ["pop", "la " * 2000])
def test_the_hash_does_not_depend_on_what_was_encoded_before(scoring, text):
    fresh, used = (load_checkpoint(scoring / "sa_conv").towers for _ in range(2))
    used.encode_text(text)
    used.files.tokenizer([text, "pop"], padding=True)
    assert used.hash == fresh.hash


def test_the_hash_has_the_version_of_our_own_arithmetic(scoring, scorer, monkeypatch):
    monkeypatch.setattr("reward.cmi_rm.scorer.ARITHMETIC", 2)
    assert load_scorer(scoring / "sa_conv", device="cpu").hash != scorer.hash


def test_a_loaded_model_keeps_its_options_and_others_are_refused(scoring):
    model = load_checkpoint(scoring / "sa_conv", max_seconds=2.0, dtype="bfloat16")
    assert CMIRMScorer(model, device="cpu").towers.max_seconds == 2.0
    assert CMIRMScorer(model, device="cpu", dtype="bfloat16", max_seconds=2.0).towers is model.towers
    with pytest.raises(InputError, match=r"max_seconds is 3\.0, but the model was loaded with 2\.0"):
        CMIRMScorer(model, device="cpu", max_seconds=3.0)
    with pytest.raises(InputError, match="dtype is float32, but the model was loaded with bfloat16"):
        CMIRMScorer(model, device="cpu", dtype="float32")
