"""Tiny model folders of every backend, built once a session."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from generators import audiocraft_library, stability_library
from generators.protocol import Job
from generators.registry import load_generator
from music.prompts import Prompt
from tests.tiny_audiocraft import build_tiny_audiocraft
from tests.tiny_musicgen import build_tiny_musicgen
from tests.tiny_stability_audio import build_tiny_stability_audio
from tests.tiny_stable_audio import build_tiny_stable_audio

# their texts have different lengths, of one, two and five times 16 tokens
PROMPTS = (
    Prompt("piano", "sad piano"),
    Prompt("jazz", "slow jazz, brushes"),
    Prompt("folk", "acoustic folk guitar with soft humming; a slow waltz in a minor key, no drums"),
)

MODELS = (
    "mono",
    "stereo",
    "odd",
    "lab",
    "stable_audio",
    "mono_stable_audio",
    "stability",
    "velocity_stability",
    "audiocraft",
    "stereo_audiocraft",
    "melody_audiocraft",
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
def stable_audio_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for library in ("diffusers", "torchsde"):
        pytest.importorskip(library, reason='the extra "diffusers" is not installed')
    return build_tiny_stable_audio(tmp_path_factory.mktemp("stable_audio"))


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
    skip_without_stability()
    return build_tiny_stability_audio(tmp_path_factory.mktemp("stability"))


@pytest.fixture(scope="session")
def velocity_stability_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Like Stable Audio Open 1.0: v-prediction; mono, an odd ratio of the autoencoder, a checkpoint of torch's."""
    skip_without_stability()
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


def skip_without_stability() -> None:
    missing = stability_library.missing_library()
    if missing:
        pytest.skip(f'the extra "stable-audio-tools" is not installed: {missing} is missing')


@pytest.fixture(scope="session")
def audiocraft_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    skip_without_audiocraft()
    return build_tiny_audiocraft(tmp_path_factory.mktemp("audiocraft"))


@pytest.fixture(scope="session")
def stereo_audiocraft_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    skip_without_audiocraft()
    return build_tiny_audiocraft(tmp_path_factory.mktemp("stereo_audiocraft"), channels=2)


@pytest.fixture(scope="session")
def melody_audiocraft_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    skip_without_audiocraft()
    return build_tiny_audiocraft(tmp_path_factory.mktemp("melody_audiocraft"), melody=True)


@pytest.fixture(scope="session")
def named_audiocraft_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its codec is named and lies in the format of transformers."""
    skip_without_audiocraft()
    return build_tiny_audiocraft(tmp_path_factory.mktemp("named_audiocraft"), named_codec=True)


def skip_without_audiocraft() -> None:
    missing = audiocraft_library.missing_library()
    if missing:
        pytest.skip(f'the extra "audiocraft" is not installed: {missing} is missing')


@pytest.fixture(scope="session", params=["mono", "stereo", "odd", "lab"])
def folder(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(f"{request.param}_folder")


def model_of(name: str, request: pytest.FixtureRequest) -> Model:
    folder = request.getfixturevalue(f"{name}_folder")
    if "stability" in name:
        changes = {"steps": 5, "guidance": 1.0, "negative_prompt": "low quality"}
        options = {"batch_size": 4, "steps": 4, "guidance": 3.0}
        return Model(folder, "stable-audio-tools", options, changes)
    if "stable_audio" in name:
        changes = {"steps": 5, "guidance": 1.0, "negative_prompt": "low quality"}
        return Model(folder, "diffusers", {"batch_size": 4, "steps": 4}, changes)
    changes = {"guidance": 1.0, "temperature": 0.5, "top_k": 2}
    backend = "audiocraft" if "audiocraft" in name else "transformers"
    return Model(folder, backend, {"batch_size": 4}, changes)


@pytest.fixture(scope="session", params=MODELS)
def model(request: pytest.FixtureRequest) -> Model:
    """Each kind of model of each backend."""
    return model_of(request.param, request)


@pytest.fixture(scope="session", params=["mono", "stable_audio", "stability", "audiocraft"])
def small_model(request: pytest.FixtureRequest) -> Model:
    """One model of each backend."""
    return model_of(request.param, request)


@pytest.fixture(scope="session")
def mono(mono_folder: Path):
    return load_generator(mono_folder, device="cpu", batch_size=4)


@pytest.fixture
def jobs() -> list[Job]:
    return [Job(prompt, i, 1000 * i + len(prompt.text)) for prompt in PROMPTS for i in range(3)]
