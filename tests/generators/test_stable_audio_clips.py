"""What comes out of Stable Audio, by either library: latents and the clips they begin with, work done once."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import soundfile
import torch

from generators import fill_pool
from generators.diffusion.latent_decoder import LatentDecoder
from generators.protocol import Job
from generators.registry import load_generator
from music.errors import InputError
from music.pool import Pool
from music.processes import Processes
from tests.generators.conftest import PROMPTS
from tests.tiny_stable_audio import build_tiny_stable_audio

JOB = Job(PROMPTS[0], 0, 3)


def load(folder: Path, **options):
    return load_generator(folder, device="cpu", **{"steps": 3, "batch_size": 1, **options})


@pytest.fixture(params=["stable_audio", "stability"])
def either_folder(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(f"{request.param}_folder")


def inside(generator) -> SimpleNamespace:
    """Return modules of a model by what they do."""
    if generator.backend == "diffusers":
        parts = generator._parts
        block = parts.transformer.transformer_blocks[0]
        return SimpleNamespace(
            encoder=parts.text_encoder,
            queries=block.attn1.to_q,
            feed_forward=block.ff.net[0].proj,
            time=parts.transformer.timestep_proj[0],
            decode=lambda latents: parts.vae.decode(latents).sample,
        )
    dit = generator._model.model.model
    return SimpleNamespace(
        encoder=generator._model.conditioner.conditioners["prompt"].model,
        queries=dit.transformer.layers[0].self_attn.to_qkv,
        feed_forward=dit.transformer.layers[0].ff.ff[2],
        time=dit.to_timestep_embed[0],
        decode=generator._model.pretransform.decode,
    )


def test_tokens_are_the_latents_of_the_whole_length(either_folder: Path):
    generator = load(either_folder)
    for seconds in (0.1, generator.max_seconds):
        (sample,) = generator.generate([JOB], seconds)
        assert sample.tokens.shape == (8, 64)
        assert sample.tokens.dtype == torch.float32


@pytest.mark.parametrize("name", ["stable_audio", "mono_stable_audio", "stability", "velocity_stability"])
def test_a_clip_is_the_beginning_of_what_all_latents_decode_to(name: str, request: pytest.FixtureRequest):
    generator = load(request.getfixturevalue(f"{name}_folder"))
    latents = torch.randn(generator._shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        whole = inside(generator).decode(latents[None])[0]
    assert whole.shape == (generator.channels, generator._decoder.samples_of(latents.shape[1]))
    assert generator.max_seconds == whole.shape[1] / generator.sample_rate
    for samples in (1, 7, 128, 500, 1_000, whole.shape[1]):
        clip = generator.decode_tokens(latents, samples / generator.sample_rate)
        torch.testing.assert_close(clip.waveform, whole[:, :samples], atol=1e-5, rtol=1e-5)


def test_no_more_frames_are_decoded_than_are_heard(stable_audio_folder: Path):
    decoder: LatentDecoder = load(stable_audio_folder)._decoder
    torch.manual_seed(0)
    latents = torch.randn(8, 64)
    needed = decoder.frames_for(1_000)
    assert needed < 25
    other = latents.clone()
    other[:, needed:] = 9
    assert torch.equal(decoder.decode(latents, 1_000), decoder.decode(other, 1_000))
    other[:, needed - 1] = 9
    assert not torch.equal(decoder.decode(latents, 1_000), decoder.decode(other, 1_000))


def test_the_length_asked_for_is_told_to_the_model(either_folder: Path):
    generator = load(either_folder)
    short, long = (next(generator.generate([JOB], seconds)).tokens for seconds in (0.2, 0.9))
    assert not torch.equal(short, long)


def test_peaks_above_one_are_scaled_down_when_the_clip_is_written_and_the_gain_is_kept(
    tmp_path: Path, stable_audio_folder: Path
):
    generator = load(build_tiny_stable_audio(tmp_path / "loud", loudness=2.0))
    pool = Pool(tmp_path / "pool", create=True)
    fill_pool(generator, PROMPTS[:1], 1, 0.4, pool, 1, Processes({}))
    (candidate,) = pool.candidates
    raw = generator.decode_tokens(pool.tokens(candidate), 0.4).waveform
    assert raw.abs().max() > 2
    assert candidate.gain == pytest.approx(1 / raw.abs().max().item())
    written, _ = soundfile.read(pool.path(candidate), dtype="float64")
    assert abs(written).max() == pytest.approx(1, abs=1e-6)


def test_each_text_is_encoded_once_alone_and_at_one_length(
    either_folder: Path, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
):
    generator = load(either_folder, batch_size=4, guidance=2.0, negative_prompt="low quality")
    shapes = []
    encoder = inside(generator).encoder
    encode = encoder.forward

    def spy(*args, **kwargs):
        shapes.append(tuple(kwargs["input_ids"].shape))
        return encode(*args, **kwargs)

    monkeypatch.setattr(encoder, "forward", spy)
    for _ in range(2):
        assert len(list(generator.generate(jobs, 0.1))) == len(jobs)
    assert shapes == [(1, 128)] * 4


def test_samples_come_as_soon_as_their_batch_is_done_and_guidance_costs_twice_the_rows(
    either_folder: Path, jobs: list[Job]
):
    for guidance, rows in ((1.0, 4), (7.0, 8)):
        generator = load(either_folder, batch_size=4, guidance=guidance)
        shapes: list[int] = []
        queries = inside(generator).queries
        queries.register_forward_hook(lambda *seen, found=shapes: found.append(len(seen[2])))
        next(generator.generate(jobs, 0.1))
        assert shapes == [rows] * 3  # three steps: one batch and no more


@pytest.mark.parametrize(("name", "steps"), [("stable_audio", 20), ("stability", 8)])
def test_bfloat16_is_near_float32_and_keeps_times_and_positions_exact(
    name: str, steps: int, request: pytest.FixtureRequest
):
    folder = request.getfixturevalue(f"{name}_folder")
    exact, rough = (load(folder, dtype=kind, steps=steps) for kind in ("float32", "bfloat16"))
    assert inside(rough).feed_forward.weight.dtype == torch.bfloat16
    assert inside(rough).time.weight.dtype == torch.float32
    if name == "stability":
        one, other = (each._model.model.model.transformer.rotary_pos_emb.inv_freq for each in (exact, rough))
        assert torch.equal(one, other)
    one, other = (next(generator.generate([JOB], 0.4)).tokens for generator in (exact, rough))
    assert 0 < (one - other).norm() / one.norm() < 0.05


@pytest.mark.parametrize(
    ("latents", "message"),
    [
        (torch.zeros(8, 63), r"are floats \[8, 64\], got \[8, 63\] in float32"),
        (torch.zeros(1, 8, 64), "are floats"),
        (torch.zeros(8, 64, dtype=torch.int16), "got .* in int16"),
        (torch.full((8, 64), torch.nan), "hold NaN"),
    ],
)
def test_foreign_latents_are_refused(stable_audio_folder: Path, latents: torch.Tensor, message: str):
    with pytest.raises(InputError, match=message):
        load(stable_audio_folder).decode_tokens(latents, 0.5)


def test_a_negative_prompt_that_is_too_long_is_refused(stable_audio_folder: Path):
    with pytest.raises(InputError, match=r"the negative prompt has 30.* tokens, the model takes at most 128"):
        load(stable_audio_folder, negative_prompt="x" * 300)
