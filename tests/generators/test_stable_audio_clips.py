"""What comes out of Stable Audio: latents and the clips they begin with, work done once, honest errors."""

from pathlib import Path

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


def test_tokens_are_the_latents_of_the_whole_length(stable_audio_folder: Path):
    generator = load(stable_audio_folder)
    for seconds in (0.1, generator.max_seconds):
        (sample,) = generator.generate([JOB], seconds)
        assert sample.tokens.shape == (8, 64)
        assert sample.tokens.dtype == torch.float32


@pytest.mark.parametrize("name", ["stable_audio", "mono_stable_audio"])
def test_a_clip_is_the_beginning_of_what_all_latents_decode_to(name: str, request: pytest.FixtureRequest):
    generator = load(request.getfixturevalue(f"{name}_folder"))
    latents = torch.randn(generator._shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        whole = generator._decoder._vae.decode(latents[None]).sample[0]
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


def test_the_length_asked_for_is_told_to_the_model(stable_audio_folder: Path):
    generator = load(stable_audio_folder)
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
    stable_audio_folder: Path, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
):
    generator = load(stable_audio_folder, batch_size=4, negative_prompt="low quality")
    shapes = []
    encoder = generator._conditioner._text_encoder
    encode = encoder.forward

    def spy(*args, **kwargs):
        shapes.append(tuple(kwargs["input_ids"].shape))
        return encode(*args, **kwargs)

    monkeypatch.setattr(encoder, "forward", spy)
    for _ in range(2):
        assert len(list(generator.generate(jobs, 0.1))) == len(jobs)
    assert shapes == [(1, 128)] * 4


def test_samples_come_as_soon_as_their_batch_is_done_and_guidance_costs_twice_the_rows(
    stable_audio_folder: Path, jobs: list[Job]
):
    for guidance, rows in ((1.0, 4), (7.0, 8)):
        generator = load(stable_audio_folder, batch_size=4, guidance=guidance)
        shapes: list[int] = []
        projection = generator._transformer.transformer_blocks[0].attn1.to_q
        projection.register_forward_hook(lambda *seen, found=shapes: found.append(len(seen[2])))
        next(generator.generate(jobs, 0.1))
        assert shapes == [rows] * 3  # three steps: one batch and no more


def test_bfloat16_is_near_float32_and_keeps_the_time_exact(stable_audio_folder: Path):
    exact, rough = (load(stable_audio_folder, dtype=kind, steps=20) for kind in ("float32", "bfloat16"))
    transformer = rough._transformer
    assert transformer.transformer_blocks[0].ff.net[0].proj.weight.dtype == torch.bfloat16
    assert transformer.timestep_proj[0].weight.dtype == torch.float32
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


def test_a_model_that_computes_nan_is_an_error_not_noise(stable_audio_folder: Path):
    generator = load(stable_audio_folder)
    generator._transformer.proj_out.weight.data[0] = float("nan")
    with pytest.raises(InputError, match="computes NaN"):
        list(generator.generate([JOB], 0.1))


def test_a_negative_prompt_that_is_too_long_is_refused(stable_audio_folder: Path):
    with pytest.raises(InputError, match=r"the negative prompt has 30.* tokens, the model takes at most 128"):
        load(stable_audio_folder, negative_prompt="x" * 300)
