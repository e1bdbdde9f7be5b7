"""What comes out of Stability's models: latents and the clips they begin with, work done once, exact times."""

from pathlib import Path

import pytest
import torch

from generators.protocol import Job
from generators.registry import load_generator
from music.errors import InputError
from tests.generators.conftest import PROMPTS

JOB = Job(PROMPTS[0], 0, 3)


def load(folder: Path, **options):
    return load_generator(folder, device="cpu", **{"steps": 3, "batch_size": 1, **options})


def test_tokens_are_the_latents_of_the_whole_length(stability_folder: Path):
    generator = load(stability_folder)
    for seconds in (0.1, generator.max_seconds):
        (sample,) = generator.generate([JOB], seconds)
        assert sample.tokens.shape == (8, 64)
        assert sample.tokens.dtype == torch.float32


@pytest.mark.parametrize("name", ["stability", "velocity_stability"])
def test_a_clip_is_the_beginning_of_what_all_latents_decode_to(name: str, request: pytest.FixtureRequest):
    generator = load(request.getfixturevalue(f"{name}_folder"))
    latents = torch.randn(generator._shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        whole = generator._model.pretransform.decode(latents[None])[0]
    assert generator.max_seconds == whole.shape[1] / generator.sample_rate
    for samples in (1, 500, whole.shape[1]):
        clip = generator.decode_tokens(latents, samples / generator.sample_rate)
        torch.testing.assert_close(clip.waveform, whole[:, :samples], atol=1e-5, rtol=1e-5)


def test_the_length_asked_for_is_told_to_the_model(stability_folder: Path):
    generator = load(stability_folder)
    short, long = (next(generator.generate([JOB], seconds)).tokens for seconds in (0.2, 0.9))
    assert not torch.equal(short, long)


def test_each_text_is_encoded_once_alone_and_at_one_length(
    stability_folder: Path, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
):
    generator = load(stability_folder, batch_size=4, guidance=2.0, negative_prompt="low quality")
    shapes = []
    encoder = generator._model.conditioner.conditioners["prompt"].model
    encode = encoder.forward

    def spy(*args, **kwargs):
        shapes.append(tuple(kwargs["input_ids"].shape))
        return encode(*args, **kwargs)

    monkeypatch.setattr(encoder, "forward", spy)
    for _ in range(2):
        assert len(list(generator.generate(jobs, 0.1))) == len(jobs)
    assert shapes == [(1, 128)] * 4


def test_samples_come_as_soon_as_their_batch_is_done_and_guidance_costs_twice_the_rows(
    stability_folder: Path, jobs: list[Job]
):
    for guidance, rows in ((1.0, 4), (7.0, 8)):
        generator = load(stability_folder, batch_size=4, guidance=guidance)
        shapes: list[int] = []
        projection = generator._model.model.model.transformer.layers[0].self_attn.to_qkv
        projection.register_forward_hook(lambda *seen, found=shapes: found.append(len(seen[2])))
        next(generator.generate(jobs, 0.1))
        assert shapes == [rows] * 3  # three steps: one batch and no more


def test_bfloat16_is_near_float32_and_keeps_times_and_positions_exact(stability_folder: Path):
    exact, rough = (load(stability_folder, dtype=kind, steps=8) for kind in ("float32", "bfloat16"))
    dit = rough._model.model.model
    assert dit.transformer.layers[0].ff.ff[2].weight.dtype == torch.bfloat16
    assert dit.to_timestep_embed[0].weight.dtype == torch.float32
    assert torch.equal(
        dit.transformer.rotary_pos_emb.inv_freq, exact._model.model.model.transformer.rotary_pos_emb.inv_freq
    )
    one, other = (next(generator.generate([JOB], 0.4)).tokens for generator in (exact, rough))
    assert 0 < (one - other).norm() / one.norm() < 0.05


def test_a_model_that_computes_nan_is_an_error_not_noise(stability_folder: Path):
    generator = load(stability_folder)
    generator._model.model.model.postprocess_conv.weight.data[0] = float("nan")
    with pytest.raises(InputError, match="computes NaN"):
        list(generator.generate([JOB], 0.1))
