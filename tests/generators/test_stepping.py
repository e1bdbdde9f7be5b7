"""Every backend can be stopped half-way, and what survives is what would have been made without stopping."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from generators.protocol import Job
from generators.registry import load_generator
from generators.stepping import LatentStoppable, Partial, Stoppable, latent_stoppable, stoppable
from music.errors import InputError
from music.hashing import copy_seed
from music.prompts import Prompt
from tests.generators.conftest import Model, model_of
from tests.generators.noise_file import write_noise
from tests.generators.test_contract import SECONDS, assert_same, make


def load(model: Model, **options: Any) -> Any:
    return stoppable(model.load(**options))


def finished(generator: Stoppable, partials: list[Partial]) -> dict:
    samples = map(generator.finish, partials)
    return {(sample.job.prompt.id, sample.job.candidate): sample for sample in samples}


def test_a_survivor_is_the_candidate_that_is_made_without_stopping(model: Model, jobs: list[Job]):
    steps = {"steps": 5} if "steps" in model.options else {}
    generator = load(model, **steps)
    whole = make(generator, jobs)
    begun = generator.begin(jobs, SECONDS)
    assert [partial.job for partial in begun] == jobs
    # pruned at different moments, moved through the slots, beside copies, beside work that was begun later
    early = generator.advance(begun[::-1], 0.3)
    assert [partial.job for partial in early] == jobs[::-1]
    kept = [partial for partial in early if partial.job.candidate != 1]
    kept += generator.copy(kept[2], 3)[1:]
    middle = generator.advance([*kept[3:], *begun[1:2], *kept[:3]], 0.55)
    alone = generator.advance(middle[:1], 0.8)
    last = generator.advance([*alone, *middle[1:6], *middle[8:]], 1.0)
    assert all(partial.share == 1 for partial in last)
    assert_same(finished(generator, last), whole)
    # what is stopped is not changed by what is made of it
    assert_same(finished(generator, generator.advance(begun[4:6], 1.0)), whole)
    assert_same(finished(generator, generator.advance(early[-2:], 1.0)), whole)


def test_a_survivor_in_bfloat16_without_guidance_is_the_same_too(small_model: Model, jobs: list[Job]):
    generator = load(small_model, dtype="bfloat16", guidance=1.0, batch_size=3)
    partials = generator.advance(generator.advance(generator.begin(jobs[::2], SECONDS), 0.4)[1:], 1.0)
    assert_same(finished(generator, partials), make(generator, jobs[2:]))


def test_every_step_may_be_the_last_before_a_stop(small_model: Model, jobs: list[Job]):
    generator = load(small_model, batch_size=2)
    partials, steps = generator.begin(jobs[:2], 0.2), set()
    while partials[0].share < 1:
        partials = generator.advance(partials, np.nextafter(partials[0].share, 2))
        steps.add(partials[0].step)
    assert steps == set(range(1, partials[0].steps + 1))
    expected = {(s.job.prompt.id, s.job.candidate): s for s in generator.generate(jobs[:2], 0.2)}
    assert_same(finished(generator, partials), expected)


def test_a_share_ends_with_the_first_step_that_reaches_it(small_model: Model, jobs: list[Job]):
    generator = load(small_model)
    (begun,) = generator.begin(jobs[:1], SECONDS)
    assert (begun.share, begun.step) == (0, 0)
    for step in (1, begun.steps // 2, begun.steps - 1):
        (partial,) = generator.advance([begun], step / begun.steps)
        assert (partial.step, partial.share) == (step, step / begun.steps)
        (partial,) = generator.advance([begun], (step + 0.01) / begun.steps)
        assert partial.step == step + 1


def test_copies_go_on_with_streams_of_their_own(small_model: Model, jobs: list[Job]):
    generator = load(small_model)
    (early,) = generator.advance(generator.begin(jobs[:1], SECONDS), 0.3)
    original, *copies = generator.copy(early, 3)
    assert original is early
    assert [copy.seed for copy in copies] == [copy_seed(early.seed, early.step, index) for index in (1, 2)]
    (of_copy,) = generator.copy(copies[0], 2)[1:]
    rows = [original, *copies, of_copy]
    assert len({copy.stream.bit_generator.state["state"]["state"] for copy in rows}) == 4
    made = [generator.finish(partial).tokens for partial in generator.advance(rows, 1.0)]
    assert torch.equal(made[0], make(generator, jobs[:1])["piano", 0].tokens)
    again = generator.advance(generator.copy(early, 3)[:0:-1], 1.0)[::-1]
    for partial, tokens in zip(again, made[1:3], strict=True):
        assert torch.equal(generator.finish(partial).tokens, tokens)
    draws_noise = generator.spec["backend"] != "diffusers" or "length_multiple" not in generator.spec
    # ACE-Step and AudioLDM 2 draw none after the start
    assert len({tokens.numpy().tobytes() for tokens in made}) == (4 if draws_noise else 1)


def test_a_preview_is_what_there_is_to_be_heard(small_model: Model, jobs: list[Job]):
    generator = load(small_model)
    begun = generator.begin(jobs[:1], SECONDS)
    with pytest.raises(InputError, match=r"nothing of a clip of .* can be heard before"):
        generator.preview(begun[0])
    (half,) = generator.advance(begun, 0.5)
    heard = generator.preview(half)
    assert (heard.sample_rate, heard.channels) == (generator.sample_rate, generator.channels)
    assert heard.waveform.isfinite().all()
    assert torch.equal(generator.preview(half).waveform, heard.waveform)
    (done,) = generator.advance([half], 1.0)
    clip = generator.finish(done).clip
    assert torch.equal(generator.preview(done).waveform, clip.waveform)
    if isinstance(generator, LatentStoppable):
        assert heard.samples == clip.samples
        assert not torch.equal(heard.waveform, clip.waveform)
    else:
        assert 0.3 * clip.samples < heard.samples < 0.5 * clip.samples


def test_a_preview_of_codes_decodes_the_codes_that_the_clip_begins_with(mono_folder: Path, jobs: list[Job]):
    generator = load_generator(mono_folder, device="cpu", batch_size=2)
    (half,) = generator.advance(generator.begin(jobs[:1], 1.0), 0.5)
    tokens = generator.finish(*generator.advance([half], 1.0)).tokens
    heard = generator.preview(half)
    frames = half.step - 3  # the last of four codebooks lags so far behind
    assert heard.samples == frames * 640
    expected = generator.decode_tokens(tokens[:, :frames], heard.samples / heard.sample_rate)
    assert torch.equal(heard.waveform, expected.waveform)


def test_what_is_out_of_range_is_refused_before_any_work(small_model: Model, jobs: list[Job]):
    generator = load(small_model)
    begun = generator.begin(jobs[:2], SECONDS)
    (half,) = generator.advance(begun[:1], 0.5)
    for share in (0.0, -1.0, 1.01, float("nan")):
        with pytest.raises(InputError, match=r"share to advance to must be above 0, .*at most 1, got"):
            generator.advance(begun, share)
    with pytest.raises(InputError, match=rf"must be above {half.share:g}, which is done, .* got 0\.5$"):
        generator.advance([begun[1], half], 0.5)
    with pytest.raises(InputError, match="finished when all of its work is done, got 0"):
        generator.finish(begun[0])
    with pytest.raises(InputError, match=r"at least 1 copy, .* got 0"):
        generator.copy(half, 0)
    with pytest.raises(InputError, match="--seconds must be"):
        generator.begin(jobs[:1], 1e4)
    with pytest.raises(InputError, match="prompt 'epic': its text has"):
        generator.begin([jobs[0], Job(Prompt("epic", "x" * 600), 0, 1)], SECONDS)
    assert generator.advance([], 0.5) == generator.begin([], SECONDS) == []


def test_a_continuation_can_be_stopped(mono_folder: Path, tmp_path: Path):
    generator = load_generator(mono_folder, device="cpu", batch_size=2, continuation=0.2)
    reference = write_noise(tmp_path / "reference.wav", 1)
    prompts = [Prompt("with", "sad piano", reference=reference), Prompt("without", "sad piano")]
    jobs = [Job(prompt, index, index) for prompt in prompts for index in range(2)]
    begun = generator.begin(jobs, SECONDS)
    for share in (0.2, 0.6, 1.0):
        begun = generator.advance(begun, share)[::-1]
    assert_same(finished(generator, begun), make(generator, jobs))


def test_a_melody_is_followed_after_a_stop(melody_folder: Path, tmp_path: Path):
    generator = load_generator(melody_folder, device="cpu", batch_size=4)
    tunes = [None, *(write_noise(tmp_path / f"{seed}.wav", seed) for seed in (1, 2))]
    jobs = [Job(Prompt(f"p{i}", "sad piano", reference=tune), 0, i) for i, tune in enumerate(tunes)]
    begun = generator.begin(jobs, SECONDS)
    partials = generator.advance(generator.advance(begun, 0.5)[::-1], 1.0)
    assert_same(finished(generator, partials), make(generator, jobs))


def test_who_cannot_be_stopped_says_so(tmp_path: Path, mono: Any):
    soundfile.write(tmp_path / "a.wav", np.zeros(100), 8000)
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.wav", "prompt_id": "a", "candidate": 0}\n')
    with pytest.raises(InputError, match=r"folder:.* cannot be stopped half-way: choose"):
        stoppable(load_generator(f"folder:{tmp_path}"))
    with pytest.raises(InputError, match=r"folder:.* cannot be stopped half-way"):
        latent_stoppable(load_generator(f"folder:{tmp_path}"))
    with pytest.raises(InputError, match="starts from no noise: choose a generator by diffusion"):
        latent_stoppable(mono)


@pytest.fixture(
    scope="module", params=["stable_audio", "stable_audio_3", "ace_step", "audioldm2", "stability"]
)
def latent_model(request: pytest.FixtureRequest) -> Model:
    return model_of(request.param, request)


def test_noise_may_be_given_and_is_the_candidates_own_if_it_is_not(latent_model: Model, jobs: list[Job]):
    generator = latent_stoppable(latent_model.load())
    noise = [generator.noise(job, SECONDS) for job in jobs[:2]]
    assert noise[0].std().item() == pytest.approx(1, abs=0.4)  # of few numbers
    begun = generator.begin(jobs[:2], SECONDS, noise=noise)
    assert_same(finished(generator, generator.advance(begun, 1.0)), make(generator, jobs[:2]))
    swapped = generator.begin(jobs[:2], SECONDS, noise=noise[::-1])
    assert torch.equal(generator.latents(swapped[0]), generator.latents(begun[1]))
    tokens = [generator.finish(partial).tokens for partial in generator.advance([*begun, *swapped], 1.0)]
    assert not any(torch.equal(tokens[0], other) for other in tokens[1:3])
    with pytest.raises(InputError, match="one noise, got 1 for 2"):
        generator.begin(jobs[:2], SECONDS, noise=noise[:1])
    with pytest.raises(InputError, match=r"latents of .* are floats"):
        generator.begin(jobs[:1], SECONDS, noise=[noise[0][:, :1]])


def test_gradients_of_the_audio_reach_the_noise(latent_model: Model, jobs: list[Job]):
    generator = latent_stoppable(latent_model.load(steps=3))
    noise = generator.noise(jobs[0], SECONDS)
    clip = make(generator, jobs[:1])["piano", 0].clip.waveform
    torch.testing.assert_close(generator.render(jobs[0], SECONDS, noise), clip, atol=1e-4, rtol=1e-3)

    weights = torch.randn(clip.shape, generator=torch.Generator().manual_seed(0))

    def loss(start: torch.Tensor) -> torch.Tensor:
        return (weights * generator.render(jobs[0], SECONDS, start)).sum()

    start = noise.clone().requires_grad_()
    loss(start).backward()
    assert start.grad is not None
    way = 0.02 * start.grad / start.grad.norm()
    risen = (loss(noise + way) - loss(noise - way)).item() / 2
    assert risen == pytest.approx(0.02 * start.grad.norm().item(), rel=0.1)


def test_latents_may_be_changed_half_way(latent_model: Model, jobs: list[Job]):
    generator = latent_stoppable(latent_model.load())
    begun = generator.begin(jobs[:1], SECONDS)
    with pytest.raises(InputError, match="nothing of a clip"):
        generator.clean_latents(begun[0])
    (half,) = generator.advance(begun, 0.5)
    latents, clean, (music, level) = (
        generator.latents(half),
        generator.clean_latents(half),
        generator.scales(half),
    )
    assert not latents.is_inference()
    assert latents.shape == clean.shape
    assert 0 < music <= 1
    assert 0 < level < generator.scales(begun[0])[1]
    other = generator.with_latents(half, latents + 0.1)
    assert torch.equal(generator.latents(half), latents)
    made = [generator.finish(partial).tokens for partial in generator.advance([half, other], 1.0)]
    assert torch.equal(made[0], make(generator, jobs[:1])["piano", 0].tokens)  # type: ignore[arg-type]
    assert not torch.equal(made[0], made[1])
    for bad in (latents[:1], latents.long(), latents * torch.nan):
        with pytest.raises(InputError, match="latents of"):
            generator.with_latents(half, bad)


def test_a_perturbation_replaces_noise_and_keeps_its_level(latent_model: Model, jobs: list[Job]):
    generator = latent_stoppable(latent_model.load())
    (half,) = generator.advance(generator.begin(jobs[:1], SECONDS), 0.5)
    music, level = generator.scales(half)

    def noise_of(partial: Partial) -> torch.Tensor:
        return (generator.latents(partial) - music * generator.clean_latents(partial)) / level

    first, second, third = (generator.perturb(copy, 0.6) for copy in generator.copy(half, 3))
    fresh = [(noise_of(each) - 0.8 * noise_of(half)) / 0.6 for each in (first, second, third)]
    rows = torch.stack([each.flatten() for each in fresh])
    assert rows.std().item() == pytest.approx(1, abs=0.2)
    assert rows.corrcoef().triu(1).abs().max() < 0.3
    assert torch.equal(generator.latents(generator.perturb(half, 0.6)), generator.latents(first))
    twice = generator.perturb(first, 0.6)
    assert not torch.allclose((noise_of(twice) - 0.8 * noise_of(first)) / 0.6, fresh[0], atol=0.1)
    made = [generator.finish(partial).tokens for partial in generator.advance([half, first, second], 1.0)]
    assert len({tokens.numpy().tobytes() for tokens in made}) == 3
    for strength in (0.0, 1.1, float("nan")):
        with pytest.raises(InputError, match="strength of a perturbation must be above 0 and at most 1"):
            generator.perturb(half, strength)


def test_how_far_guidance_leads_is_added_up_whatever_the_stops(latent_model: Model, jobs: list[Job]):
    generator = latent_stoppable(latent_model.load(guidance=3.0))
    begun = generator.begin(jobs[:3], SECONDS)
    whole = generator.advance(begun, 1.0)
    gaps = [generator.guidance_gap(partial) for partial in whole]
    assert len(set(gaps)) == 3
    half = generator.advance(begun, 0.5)
    for partial, gap in zip(half, gaps, strict=True):
        assert 0 < generator.guidance_gap(partial) < gap
    assert [generator.guidance_gap(partial) for partial in generator.advance(half[::-1], 1.0)] == gaps[::-1]
    plain = latent_stoppable(latent_model.load(guidance=1.0))
    with pytest.raises(InputError, match="samples without guidance: give a --guidance above 1"):
        plain.guidance_gap(plain.begin(jobs[:1], SECONDS)[0])


def test_the_gap_of_guidance_is_the_distance_of_both_predictions(stable_audio_folder: Path, jobs: list[Job]):
    """After one step from the same noise: guided latents differ from those without guidance by a multiple of it."""
    found = []
    for guidance in (2.0, 3.0):
        generator = latent_stoppable(
            load_generator(stable_audio_folder, device="cpu", steps=4, guidance=guidance)
        )
        (partial,) = generator.advance(generator.begin(jobs[:1], SECONDS), 0.25)
        found.append((generator.clean_latents(partial), generator.guidance_gap(partial)))
    (two, gap), (three, same) = found
    level = generator.scales(generator.begin(jobs[:1], SECONDS)[0])[1]
    of_output = level / (1 + level**2) ** 0.5  # what a prediction counts in the clean latents
    assert gap == same
    assert (three - two).square().mean().sqrt().item() == pytest.approx(of_output * gap, rel=1e-3)
