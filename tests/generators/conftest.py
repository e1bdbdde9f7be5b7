"""Tiny model folders of every backend, built once a session."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from generators.diffusion import pipeline_folder as diffusers_folder
from generators.musicgen.audiocraft import library as audiocraft_library
from generators.protocol import Job
from generators.registry import load_generator
from generators.stable_audio.tools import library as stability_library
from music.prompts import Prompt
from tests.missing_extras import skip_without
from tests.tiny_ace_step import build_tiny_ace_step
from tests.tiny_audiocraft import build_tiny_audiocraft
from tests.tiny_audioldm2 import build_tiny_audioldm2
from tests.tiny_musicgen import build_tiny_musicgen
from tests.tiny_stability_audio import build_tiny_stability_audio
from tests.tiny_stable_audio import build_tiny_stable_audio
from tests.tiny_stable_audio_3 import build_tiny_stable_audio_3

# their texts have different lengths, of one, two and five times 16 tokens
PROMPTS = (
    Prompt("piano", "sad piano"),
    Prompt("jazz", "slow jazz, brushes"),
    Prompt("folk", "acoustic folk guitar with soft humming; a slow waltz in a minor key, no drums"),
)

# model: the backend that runs it
_CODES = {
    **dict.fromkeys(("mono", "stereo", "odd", "lab", "melody", "stereo_melody"), "transformers"),
    **dict.fromkeys(("audiocraft", "stereo_audiocraft", "melody_audiocraft"), "audiocraft"),
}
_DIFFUSION = {
    **dict.fromkeys(("stable_audio", "mono_stable_audio"), "diffusers"),
    **dict.fromkeys(("stable_audio_3", "ace_step", "audioldm2"), "diffusers"),
    **dict.fromkeys(("stability", "velocity_stability"), "stable-audio-tools"),
}
_SMALL = (
    "mono",
    "melody",
    "audiocraft",
    "stable_audio",
    "stable_audio_3",
    "ace_step",
    "audioldm2",
    "stability",
)


@dataclass(frozen=True)
class Model:
    """A folder, and how tests sample from it.

    Attributes
    ----------
    folder
        Where it lies.
    backend
        Which runs it.
    options
        Of the sampling, such that it is quick.
    changes
        For each option of the sampling another value.
    """

    folder: Path
    backend: str
    options: Mapping[str, Any]
    changes: Mapping[str, Any]

    def load(self, **options: Any) -> Any:
        return load_generator(self.folder, device="cpu", **{**self.options, **options})


@pytest.fixture(scope="session")
def mono_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_musicgen(tmp_path_factory.mktemp("mono"))


@pytest.fixture(scope="session")
def stereo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_musicgen(tmp_path_factory.mktemp("stereo"), channels=2, codebooks=3, layers=1)


@pytest.fixture(scope="session")
def odd_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sizes that are no powers of two, 100 / 3 frames a second, no projection of the text."""
    return build_tiny_musicgen(
        tmp_path_factory.mktemp("odd"),
        codebooks=5,
        vocabulary=128,
        width=36,
        layers=3,
        text_width=36,
        sample_rate=4_000,
        ratios=(5, 4, 3, 2),
        positions=200,
    )


@pytest.fixture(scope="session")
def lab_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Like the lab's MusicGen: the spectral codec, six codebooks, 25 frames a second."""
    return build_tiny_musicgen(tmp_path_factory.mktemp("lab"), codebooks=6, spectral=True, text_width=32)


@pytest.fixture(scope="session")
def melody_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_musicgen(tmp_path_factory.mktemp("melody"), melody=20)


@pytest.fixture(scope="session")
def stereo_melody_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_musicgen(
        tmp_path_factory.mktemp("stereo_melody"), channels=2, codebooks=2, width=24, text_width=24, melody=9
    )


@pytest.fixture(scope="session")
def stable_audio_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    skip_without(diffusers_folder.LIBRARIES)
    return build_tiny_stable_audio(tmp_path_factory.mktemp("stable_audio"))


@pytest.fixture(scope="session")
def stable_audio_3_folder(tmp_path_factory: pytest.TempPathFactory, stable_audio_folder: Path) -> Path:
    """Build a distilled one, which renoises at each step."""
    return build_tiny_stable_audio_3(tmp_path_factory.mktemp("stable_audio_3"))


@pytest.fixture(scope="session")
def ace_step_folder(tmp_path_factory: pytest.TempPathFactory, stable_audio_folder: Path) -> Path:
    return build_tiny_ace_step(tmp_path_factory.mktemp("ace_step"))


@pytest.fixture(scope="session")
def audioldm2_folder(tmp_path_factory: pytest.TempPathFactory, stable_audio_folder: Path) -> Path:
    return build_tiny_audioldm2(tmp_path_factory.mktemp("audioldm2"))


@pytest.fixture(scope="session")
def mono_stable_audio_folder(tmp_path_factory: pytest.TempPathFactory, stable_audio_folder: Path) -> Path:
    """Sizes that are no powers of two, an odd ratio of the autoencoder, no projection of the text."""
    return build_tiny_stable_audio(
        tmp_path_factory.mktemp("mono_stable_audio"),
        channels=1,
        ratios=(2, 5, 3),
        sample_rate=1_234,
        frames=45,
        latent=6,
        text_width=20,
        width=20,
        heads=(3, 3),
    )


@pytest.fixture(scope="session")
def stability_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Like Stable Audio Open Small: ping-pong."""
    skip_without(stability_library.LIBRARIES)
    return build_tiny_stability_audio(tmp_path_factory.mktemp("stability"))


@pytest.fixture(scope="session")
def velocity_stability_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Like Stable Audio Open 1.0: v-prediction; mono, an odd ratio of the autoencoder, a checkpoint of torch's."""
    skip_without(stability_library.LIBRARIES)
    return build_tiny_stability_audio(
        tmp_path_factory.mktemp("velocity_stability"),
        objective="v",
        channels=1,
        ratios=(2, 5, 3),
        sample_rate=1_234,
        frames=45,
        latent=6,
        weights="model.ckpt",
    )


@pytest.fixture(scope="session")
def audiocraft_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    skip_without(audiocraft_library.LIBRARIES)
    return build_tiny_audiocraft(tmp_path_factory.mktemp("audiocraft"))


@pytest.fixture(scope="session")
def stereo_audiocraft_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    skip_without(audiocraft_library.LIBRARIES)
    return build_tiny_audiocraft(tmp_path_factory.mktemp("stereo_audiocraft"), channels=2)


@pytest.fixture(scope="session")
def melody_audiocraft_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    skip_without(audiocraft_library.LIBRARIES)
    return build_tiny_audiocraft(tmp_path_factory.mktemp("melody_audiocraft"), melody=True)


@pytest.fixture(scope="session")
def named_audiocraft_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its codec is named and lies in the format of transformers."""
    skip_without(audiocraft_library.LIBRARIES)
    return build_tiny_audiocraft(tmp_path_factory.mktemp("named_audiocraft"), named_codec=True)


@pytest.fixture(scope="session", params=["mono", "stereo", "odd", "lab"])
def folder(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(f"{request.param}_folder")


def model_of(name: str, request: pytest.FixtureRequest) -> Model:
    folder = request.getfixturevalue(f"{name}_folder")
    if name in _CODES:
        changes = {"guidance": 1.0, "temperature": 0.5, "top_k": 2}
        return Model(folder, _CODES[name], {"batch_size": 4}, changes)
    changes = {"steps": 5, "guidance": 1.0, "negative_prompt": "low quality"}
    if name == "ace_step":
        del changes["negative_prompt"]
    return Model(folder, _DIFFUSION[name], {"batch_size": 4, "steps": 4, "guidance": 3.0}, changes)


@pytest.fixture(scope="session", params=[*_CODES, *_DIFFUSION])
def model(request: pytest.FixtureRequest) -> Model:
    """Each kind of model of each backend."""
    return model_of(request.param, request)


@pytest.fixture(scope="session", params=_SMALL)
def small_model(request: pytest.FixtureRequest) -> Model:
    """One model of each kind."""
    return model_of(request.param, request)


@pytest.fixture(scope="session")
def mono(mono_folder: Path):
    return load_generator(mono_folder, device="cpu", batch_size=4)


@pytest.fixture
def jobs() -> list[Job]:
    return [Job(prompt, i, 1000 * i + len(prompt.text)) for prompt in PROMPTS for i in range(3)]
