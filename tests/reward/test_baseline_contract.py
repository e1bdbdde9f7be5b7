"""What every baseline promises, whatever its model: the promises of `reward.protocol` and of batch invariance."""

import math

import pytest
import torch

from music.clips import Clip, read_clip
from music.errors import InputError
from music.prompts import Prompt
from reward import Scorer, ScoreRequest, load_scorer
from reward.registry import KINDS

MODELS = (
    "clap",
    "audiobox",
    "pam",
    "songeval",
    "muq-eval",
    "lyrics",
)  # each has a tiny folder of the published format
PROMPT = Prompt("p", "slow piano", "[verse]\n" + "again night again dance " * 6)  # words of the tiny Whisper
# how far scores may lie from those in float32; what Whisper writes down is no number to be near
BFLOAT16 = {
    "mulan": 0.03,
    "clap": 0.03,
    "audiobox": 0.05,
    "pam": 0.03,
    "songeval": 0.05,
    "muq-eval": 0.05,
    "tunejury": 0.05,
}


@pytest.fixture(params=["mulan", *MODELS])
def kind(request):
    return request.param


def folder_of(kind, request):
    """Return the tiny folder of a kind; skips where its libraries are missing."""
    return request.getfixturevalue(f"{kind.replace('-', '_')}_folder")


@pytest.fixture
def place(kind, request):
    """Return what stands behind ``--reward``."""
    folder = "lab-mulan" if kind == "mulan" else folder_of(kind, request)
    return f"{kind}:{folder}"


@pytest.fixture
def clips(scoring):
    """Return real clips of 3 and 10 s, and one of 33 s of both."""
    short, long = (read_clip(scoring / "audio" / f"{name}.flac").mono() for name in ("a0", "a1"))
    waves = [clip.waveform * level for level in (1.0, 0.5, 0.25) for clip in (long, short)]
    return short, long, Clip(torch.cat(waves, dim=1), short.sample_rate).first(33.0)


def score(scorer, *audio):
    return scorer.score([ScoreRequest(one, PROMPT) for one in audio])


def test_scores_are_finite_and_named(place, clips):
    scorer = load_scorer(place, device="cpu")
    assert isinstance(scorer, Scorer)
    for found in score(scorer, *clips):
        assert tuple(found) == scorer.metrics
        assert all(isinstance(number, float) and math.isfinite(number) for number in found.values())


def test_a_reward_model_can_be_judged_by_it(place):
    """`reward.scoring.candidates` refuses two scorers with a metric of the same name."""
    assert not set(load_scorer(place, device="cpu").metrics) & {"reward", "musicality", "alignment"}


def test_no_score_depends_on_the_batch_the_order_or_the_call(place, clips):
    scorer = load_scorer(place, device="cpu")
    together = score(scorer, *clips)
    alone = [score(scorer, clip)[0] for clip in clips]
    assert together == alone
    assert score(scorer, *reversed(clips)) == alone[::-1]
    assert score(load_scorer(place, device="cpu"), *clips) == alone
    assert together[0] != together[1]


def test_a_file_gets_what_its_clip_gets(place, scoring):
    scorer, path = load_scorer(place, device="cpu"), scoring / "audio" / "a0.flac"
    assert scorer.takes_clips
    assert score(scorer, path) == score(scorer, read_clip(path))


def test_only_the_beginning_is_heard(place, clips):
    scorer = load_scorer(place, device="cpu")
    scorer.max_seconds = 3.0
    assert score(scorer, clips[2]) == score(scorer, clips[2].first(3.0))


def test_loading_draws_nothing_at_random(place):
    before = torch.get_rng_state()
    load_scorer(place, device="cpu")
    assert torch.equal(torch.get_rng_state(), before)


def test_the_hash_is_that_of_the_model_and_the_numbers(place):
    hashes = {load_scorer(place, device="cpu").hash for _ in range(2)}
    assert len(hashes) == 1
    assert load_scorer(place, device="cpu", dtype="bfloat16").hash not in hashes


def test_bfloat16_is_near_float32(place, kind, clips):
    exact, rounded = (
        score(load_scorer(place, device="cpu", dtype=dtype), *clips[:2]) for dtype in ("float32", "bfloat16")
    )
    if kind not in BFLOAT16:
        assert all(math.isfinite(number) for found in rounded for number in found.values())
        return
    assert rounded != exact
    for near, number in zip(rounded, exact, strict=True):
        assert near == pytest.approx(number, abs=BFLOAT16[kind])


def test_an_empty_clip_is_an_error(place):
    with pytest.raises(InputError, match=r"empty|short"):
        score(load_scorer(place, device="cpu"), Clip(torch.zeros(1, 0), 24_000))


@pytest.mark.parametrize("kind", MODELS)
def test_a_place_without_a_model_is_an_error(kind, request, tmp_path):
    folder_of(kind, request)
    with pytest.raises(InputError, match=str(tmp_path)):
        load_scorer(f"{kind}:{tmp_path}", device="cpu")


@pytest.mark.parametrize("kind", sorted({*MODELS} - {"songeval"}))  # whose weights are on no hub
def test_without_a_place_the_published_model_is_asked_for(kind, request, monkeypatch):
    folder, asked = folder_of(kind, request), []

    def download(name, allow_patterns):
        asked.append(name)
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert load_scorer(kind, device="cpu").name == kind
    assert asked == [KINDS[kind][1]]


@pytest.mark.parametrize("kind", MODELS)
def test_an_unknown_number_is_an_error(kind, place):
    with pytest.raises(InputError, match="float16"):
        load_scorer(place, device="cpu", dtype="float16")
