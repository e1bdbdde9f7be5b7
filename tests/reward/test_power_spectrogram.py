"""The power spectrogram in front of MuQ is that of torchaudio."""

import pytest
import torch

from music.errors import InputError
from music.library_repairs import repair_torchaudio
from reward.cmi_rm.power_spectrogram import PowerSpectrogram


@pytest.fixture
def spectrogram():
    repair_torchaudio()
    from torchaudio.transforms import Spectrogram

    return Spectrogram


@pytest.mark.parametrize("samples", [1_025, 24_000, 30_011])
def test_it_gives_what_torchaudio_gives(spectrogram, samples):
    original = spectrogram(n_fft=2048, hop_length=240)
    waves = torch.randn(3, samples, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(PowerSpectrogram(original)(waves), original(waves), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    "settings", [{"power": 1.0}, {"normalized": True}, {"center": False}, {"win_length": 512}]
)
def test_another_spectrogram_is_refused(spectrogram, settings):
    with pytest.raises(InputError, match="another spectrogram"):
        PowerSpectrogram(spectrogram(n_fft=2048, hop_length=240, **settings))


def test_the_towers_hear_through_it(towers):
    mel = towers.audio_module.model.model.preprocessor_melspec_2048.mel_stft
    assert isinstance(mel.spectrogram, PowerSpectrogram)
