"""The autoencoder starts as a transform that gives low sounds back, and its latents are what a diffusion expects."""

import pytest
import torch

from experiments.lab.training.vae_start import (
    VaeShape,
    build_vae,
    encoded,
    lapped_basis,
    normalise_latents,
    put_back_units,
    set_aside_idle_units,
    thin_encoder,
)

SHAPE = VaeShape(latent=12, envelopes=2, bands=8, stride=8, decoder=14)
SAMPLES = 3_200


def tones(count: int, low: float, high: float, seed: int) -> torch.Tensor:
    """Return sums of three tones each, [count, samples]."""
    generator = torch.Generator().manual_seed(seed)
    time = torch.arange(SAMPLES) / 16_000
    pitch = low + (high - low) * torch.rand(count, 3, 1, generator=generator)
    phase = 6.28 * torch.rand(count, 3, 1, generator=generator)
    return 0.2 * (6.2832 * pitch * time + phase).sin().sum(1)


@pytest.fixture(scope="module")
def vae():
    pytest.importorskip("diffusers")
    torch.manual_seed(0)
    hiss = 0.02 * torch.randn(20, SAMPLES)
    return build_vae(SHAPE, tones(20, 100, 400, 1) + hiss).eval()


def test_a_lapped_transform_gives_the_signal_back():
    basis = lapped_basis(8)[:, None]
    wave = torch.randn(1, 1, 80, generator=torch.Generator().manual_seed(0))
    bands = torch.nn.functional.conv1d(wave, basis, stride=8, padding=4)
    back = torch.nn.functional.conv_transpose1d(bands, basis, stride=8, padding=4)
    torch.testing.assert_close(back[..., 8:-8], wave[..., 8:-8])


@torch.no_grad()
def test_untrained_it_gives_low_sounds_back_and_loses_high_ones(vae):
    for pitches, most, least in (((100, 400), 0.15, 0.0), ((3_000, 6_000), 2.0, 0.9)):
        wave = tones(4, *pitches, seed=2)
        back = vae.decode(encoded(vae, wave)[:, :, :]).sample[:, 0]
        assert back.shape == wave.shape
        error = (back - wave)[:, 400:-400].norm() / wave[:, 400:-400].norm()
        assert least <= error < most, pitches


def test_latents_have_deviation_one_and_tell_how_loud_high_bands_are(vae):
    low = tones(20, 100, 400, 1) + 0.02 * torch.randn(20, SAMPLES, generator=torch.Generator().manual_seed(5))
    latents = encoded(vae, low)
    assert latents.mean((0, 2)).abs().max() < 0.3
    assert ((latents.std((0, 2)) - 1).abs() < 0.3).all()
    bright = encoded(vae, low + 0.5 * tones(20, 5_000, 5_100, 3))
    change = (bright - latents).mean((0, 2)).abs()
    assert change[-2:].max() > 5 * change[:-2].max()


@torch.no_grad()
def test_idle_units_pass_their_input_on(vae):
    wave = tones(2, 100, 400, 4)
    latents = encoded(vae, wave)
    whole = vae.decode(latents).sample
    units = set_aside_idle_units(vae)
    assert sorted(units)[0] == "decoder.block.1.res_unit2"
    assert len(units) == 8
    torch.testing.assert_close(encoded(vae, wave), latents)
    torch.testing.assert_close(vae.decode(latents).sample, whole)
    put_back_units(vae, units)
    assert vae.get_submodule("encoder.block.0.res_unit1") is units["encoder.block.0.res_unit1"]


@torch.no_grad()
def test_normalising_changes_latents_and_not_what_they_decode_to(vae):
    wave = tones(2, 100, 400, 6)
    latents = encoded(vae, wave)
    before = vae.decode(latents).sample
    deviations = vae.encode(wave[:, None]).latent_dist.std
    factor, shift = 1 + torch.arange(12.0)[:, None] / 6, torch.linspace(-0.5, 0.5, 12)[:, None]
    rows = torch.randn(3, 12, 400, generator=torch.Generator().manual_seed(0))
    rows = (rows - rows.mean((0, 2), keepdim=True)) / rows.std((0, 2), keepdim=True)
    normalise_latents(vae, shift + factor * rows)
    found = encoded(vae, wave)
    torch.testing.assert_close(found, (latents - shift) / factor, rtol=1e-4, atol=1e-4)
    after = vae.decode(found).sample
    edge = 12 * SHAPE.hop
    torch.testing.assert_close(after[..., edge:-edge], before[..., edge:-edge], rtol=1e-3, atol=1e-4)
    noise = vae.encode(wave[:, None]).latent_dist.std
    torch.testing.assert_close(noise, deviations / factor, rtol=0.15, atol=0)


def test_the_thin_encoder_gives_the_same_latents():
    songs = tones(3, 100, 400, 1)
    vae = build_vae(SHAPE, tones(20, 100, 400, 1)).eval()
    idle = set_aside_idle_units(vae)
    expected = encoded(vae, songs)
    encoder = thin_encoder(vae)
    with torch.no_grad():
        found = encoder(songs[:, None]).chunk(2, dim=1)[0]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert encoder[0].out_channels == 1
    put_back_units(vae, idle)
    torch.testing.assert_close(encoded(vae, songs), expected, rtol=1e-4, atol=1e-5)
