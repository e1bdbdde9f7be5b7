"""What is counted without weights is what torch's own counter finds where the same clips are made and scored."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from generators.musicgen import decoder_weights
from generators.protocol import Job
from generators.published import load_shape
from generators.registry import load_generator
from generators.work import GeneratorWork
from music.clips import Clip
from music.errors import InputError
from music.prompts import Prompt
from music.shapes import Cost, Shapes
from reward.protocol import ScoreRequest
from reward.registry import load_scorer
from reward.work import RewardWork, load_scorer_shape
from scaling.compute.clip import ClipCompute
from tests.generators.conftest import *  # noqa: F403 - folders of tiny models
from tests.tiny_musicgen import build_tiny_musicgen

PROMPT = Prompt("jazz", "slow jazz, brushes")
OPTIONS = {"stable_audio": {"guidance": 3.0, "steps": 4}, "stable_audio_3": {"guidance": 3.0, "steps": 4}}
OPTIONS |= {"stability": {"guidance": 3.0, "steps": 4}, "ace_step": {"guidance": 3.0, "steps": 4}}
SECONDS = 0.3


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[FlopCounterMode]:
    """Let torch count what CPU kernels would hide from it: packed products, fused attention, LSTMs of oneDNN."""
    monkeypatch.setattr(decoder_weights, "_FEWEST", 10**6)
    with (
        torch.backends.mkldnn.flags(enabled=False),
        sdpa_kernel(SDPBackend.MATH),
        FlopCounterMode(display=False) as counter,
    ):
        yield counter


def work_and_model(name: str, request: pytest.FixtureRequest, **more: Any) -> tuple[GeneratorWork, Any]:
    folder = request.getfixturevalue(f"{name}_folder")
    given = {"batch_size": 2, **OPTIONS.get(name, {}), **more}
    generator: Any = load_generator(folder, device="cpu", **given)
    codec = getattr(getattr(generator, "_model", None), "audio_encoder", torch.nn.Module())
    for module in list(codec.modules()):
        if is_parametrized(module, "weight"):  # torch's counter cannot look into these
            remove_parametrizations(module, "weight")
    return GeneratorWork(lambda: load_shape(folder, **given), PROMPT, SECONDS), generator


@pytest.mark.parametrize(
    "name", ["mono", "stereo", "lab", "melody", "stable_audio", "stable_audio_3", "ace_step", "stability"]
)
def test_generating_and_decoding_cost_what_torch_counts(
    name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
):
    work, generator = work_and_model(name, request)
    begun = generator.begin([Job(PROMPT, index, index) for index in range(2)], SECONDS)
    with counted(monkeypatch) as first:
        half = generator.advance(begun, 0.5)
    with counted(monkeypatch) as second:
        whole = generator.advance(half, 1.0)
    with counted(monkeypatch) as decoding:
        generator.finish(whole[0])
    share = half[0].step / half[0].steps
    generating = 2 * work.generating(0.0, share).flop + work.text.flop
    assert work.steps == half[0].steps
    assert generating == pytest.approx(first.get_total_flops(), rel=0.02)
    assert 2 * work.generating(share, 1.0).flop == pytest.approx(second.get_total_flops(), rel=0.02)
    assert work.preview(1.0).flop == pytest.approx(decoding.get_total_flops(), rel=0.02)


def test_the_preview_of_codes_is_their_beginning_and_that_of_latents_the_whole(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
):
    work, generator = work_and_model("mono", request)
    (half,) = generator.advance(generator.begin([Job(PROMPT, 0, 0)], SECONDS), 0.6)
    with counted(monkeypatch) as hearing:
        clip = generator.preview(half)
    assert work.heard_seconds(half.share) == pytest.approx(clip.seconds, abs=0.01)
    assert work.preview(half.share).flop == pytest.approx(hearing.get_total_flops(), rel=0.02)
    assert work.preview(0.0) == Cost()
    latents, _ = work_and_model("stable_audio", request)
    assert latents.preview(0.5) == latents.preview(1.0)


@pytest.fixture(scope="module")
def reward() -> RewardWork:
    return RewardWork(lambda: load_scorer_shape("lab-cmi-rm"), PROMPT, 16_000, 1)


def test_scoring_costs_what_torch_counts(reward: RewardWork, monkeypatch: pytest.MonkeyPatch):
    scorer = load_scorer("lab-cmi-rm", device="cpu")
    clips = [Clip(torch.rand(1, 16_000 * 2), 16_000) for _ in range(2)]
    with counted(monkeypatch) as first:
        scorer.score([ScoreRequest(clips[0], PROMPT)])
    with counted(monkeypatch) as second:
        scorer.score([ScoreRequest(clips[1], PROMPT)])
    assert reward.scoring(2.0).flop == pytest.approx(second.get_total_flops(), rel=0.02)
    both = reward.scoring(2.0).flop + reward.prompt.flop
    assert both == pytest.approx(first.get_total_flops(), rel=0.02)


def test_the_unit_is_a_finished_and_scored_clip(reward: RewardWork, request: pytest.FixtureRequest):
    work, _ = work_and_model("mono", request)
    compute = ClipCompute(work, reward)
    parts = compute.generating(), compute.decoding(), compute.scoring(SECONDS)
    assert compute.clip == pytest.approx(sum(parts))
    assert min(parts) > 0
    assert compute.in_clips(3 * compute.clip) == pytest.approx(3)
    # work that is taken up again costs the conditions again
    assert compute.generating(0, 0.5) + compute.generating(0.5, 1.0) > compute.generating()
    assert compute.decoding(0.5) < compute.decoding(1.0)
    assert ClipCompute(work).clip == pytest.approx(sum(parts[:2]))


def test_nothing_without_a_model_can_be_counted(tmp_path):
    (tmp_path / "clips").mkdir()
    with Shapes().running():
        with pytest.raises(InputError, match=r"reward clap: the work|cannot be counted"):
            load_scorer_shape("clap:somewhere")
        with pytest.raises(InputError, match="unknown generator 'nowhere'"):
            load_shape("nowhere")


def test_memory_is_what_a_run_takes(tmp_path: Path):
    folder = build_tiny_musicgen(tmp_path, width=64, layers=24)  # beside which what kernels need is small
    work = GeneratorWork(lambda: load_shape(folder, batch_size=8), PROMPT, 3.0)
    generator: Any = load_generator(folder, device="cpu", batch_size=8)
    jobs = [Job(PROMPT, index, index) for index in range(8)]
    generator.advance(generator.begin(jobs, 3.0), 0.1)  # lays out weights
    blank = generator.blank_tokens(3.0)
    making = allocated(lambda: generator.advance(generator.begin(jobs, 3.0), 1.0))
    assert work.peak == pytest.approx(work.weights + making, rel=0.15)
    decoding = allocated(lambda: generator.decode_tokens(blank, 3.0))
    # convolutions of a CPU lay out one layer's states once more, which is most of what so small a codec takes
    assert 0.7 < work.decoding_peak / (work.weights + decoding) < 1.05


def allocated(run: Callable[[], Any]) -> int:
    """Return the bytes of the CPU's allocator that a run has at once beyond those before it."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        found = run()
    del found
    changes = [
        event.nbytes() for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"
    ]
    now = most = 0
    for change in changes:
        now += change
        most = max(most, now)
    return most
