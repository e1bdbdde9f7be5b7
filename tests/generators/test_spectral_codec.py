"""The spectral codec: shapes, nearest entries, repeatable audio, and life inside a MusicGen."""

import pytest
import torch
from transformers import AutoConfig, AutoModel

from generators.musicgen.spectral_codec import SpectralCodecConfig, SpectralCodecModel, _Transform


@pytest.fixture(scope="module")
def codec():
    config = SpectralCodecConfig(
        n_fft=1024,
        hop_length=320,
        frames_per_code=2,
        num_codebooks=3,
        codebook_size=32,
        griffin_lim_iterations=4,
    )
    model = SpectralCodecModel(config).eval()
    generator = torch.Generator().manual_seed(0)
    model.mean.data.fill_(-5.0)
    for stage in range(3):
        model.codebooks.data[stage] = torch.randn(32, 256, generator=generator) / 2**stage
    return model


def tone(seconds: float = 1.0, frequency: float = 440.0) -> torch.Tensor:
    time = torch.arange(round(16_000 * seconds)) / 16_000
    return 0.5 * torch.sin(2 * torch.pi * frequency * time)[None, None]


@pytest.mark.parametrize(("samples", "frames"), [(16_000, 25), (640, 1), (641, 2), (16_001, 26)])
def test_shapes_follow_the_code_rate(codec, samples, frames):
    codes = codec.encode(torch.zeros(2, 1, samples)).audio_codes
    assert codes.shape == (1, 2, 3, frames)
    assert codec.decode(codes).audio_values.shape == (2, 1, 640 * frames)
    assert codec.config.frame_rate == 25


@pytest.mark.parametrize(("samples", "frames"), [(1, 1), (640, 1), (641, 2), (1281, 3)])
def test_clips_shorter_than_half_a_window_are_coded_too(samples, frames):
    config = SpectralCodecConfig(n_fft=2048, hop_length=640, frames_per_code=1, griffin_lim_iterations=4)
    codec = SpectralCodecModel(config).eval()
    codes = codec.encode(tone()[..., :samples]).audio_codes
    assert codes.shape[-1] == frames
    audio = codec.decode(codes).audio_values
    assert audio.shape == (1, 1, 640 * frames)
    assert audio.isfinite().all()


def test_each_stage_takes_the_nearest_entry(codec):
    frames = torch.randn(1, 7, 256, generator=torch.Generator().manual_seed(1)) - 5
    codes = codec.codes_of(frames)
    residual = frames[0] - codec.mean
    for stage in range(3):
        nearest = torch.cdist(residual, codec.codebooks[stage]).argmin(1)
        assert torch.equal(codes[0, stage], nearest)
        residual = residual - codec.codebooks[stage][nearest]
    assert torch.allclose(codec.frames_of(codes)[0], frames[0] - residual, atol=1e-5)


def test_decoding_is_repeatable_and_leaves_global_randomness_alone(codec):
    codes = codec.encode(tone()).audio_codes
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first = codec.decode(codes).audio_values
    assert torch.rand(1) == expected
    assert torch.equal(codec.decode(codes).audio_values, first)


def test_mel_inversion_and_phases_bring_a_tone_back():
    model = SpectralCodecModel(
        SpectralCodecConfig(num_codebooks=1, codebook_size=25, griffin_lim_iterations=24)
    )
    frames = model.frames(tone()[:, 0])
    model.codebooks.data[0] = frames[0]  # every frame has its own entry: no coding error
    audio = model.decode(model.encode(tone()).audio_codes).audio_values[0, 0]
    spectrum = torch.fft.rfft(audio * torch.hann_window(len(audio))).abs()
    assert abs(int(spectrum.argmax()) - 440) <= 6  # within a mel band, bins are 1 Hz
    assert 0.2 < audio.abs().max() < 1.5


def test_save_and_load_through_the_auto_classes(codec, tmp_path):
    codec.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path, dtype=torch.float32)
    assert isinstance(loaded, SpectralCodecModel)
    assert AutoConfig.from_pretrained(tmp_path).num_codebooks == 3
    assert torch.equal(loaded.codebooks, codec.codebooks)


@pytest.mark.parametrize(("n_fft", "hop", "count"), [(2048, 640, 12), (512, 128, 9), (300, 100, 7)])
def test_the_transform_is_that_of_torch(n_fft, hop, count):
    samples = hop * (count - 1)
    window = torch.hann_window(n_fft)
    transform = _Transform(window, hop, count, samples)
    audio = torch.randn(2, samples, generator=torch.Generator().manual_seed(0))
    half = n_fft // 2
    mirrored = torch.nn.functional.pad(audio[:, None], (half, half), mode="reflect")[:, 0]
    expected = torch.stft(audio, n_fft, hop, window=window, return_complex=True)
    spectrum = transform.spectrum(mirrored)
    torch.testing.assert_close(spectrum, expected.transpose(1, 2), rtol=0, atol=2e-4)
    shaped = expected * torch.rand(expected.shape, generator=torch.Generator().manual_seed(1))
    back = torch.istft(shaped, n_fft, hop, window=window, length=samples)
    found = transform.audio(shaped.transpose(1, 2))[:, half:-half]
    torch.testing.assert_close(found, back, rtol=0, atol=1e-5)
    torch.testing.assert_close(transform.audio(spectrum), mirrored, rtol=0, atol=1e-5)
