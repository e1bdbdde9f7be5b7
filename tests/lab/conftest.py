"""What tests of the lab share: a codec fitted to four songs."""

import pytest

from experiments.lab.training.codec import load_codec, train_codec
from generators.musicgen.spectral_codec import SpectralCodecConfig


@pytest.fixture(scope="session")
def codec_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("codec")
    config = SpectralCodecConfig(codebook_size=16, num_codebooks=2, griffin_lim_iterations=2)
    train_codec(folder, songs=4, config=config)
    return folder


@pytest.fixture(scope="session")
def small_codec(codec_folder):
    return load_codec(codec_folder)
