"""Tiny model folders of every backend, built once a session."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from generators.diffusion.pipeline_folder import LIBRARIES as DIFFUSERS
from generators.musicgen.audiocraft.library import LIBRARIES as AUDIOCRAFT
from generators.protocol import Job
from generators.registry import load_generator
from generators.stable_audio.tools.library import LIBRARIES as STABILITY
from music.optional_libraries import OptionalLibraries
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

_DIFFUSERS = ("stable_audio", "stable_audio_3", "ace_step", "audioldm2")
# model: the backend that runs it
_CODES = {
    **dict.fromkeys(("mono", "stereo", "odd", "lab", "melody", "stereo_melody"), "transformers"),
    **dict.fromkeys(("audiocraft", "stereo_audiocraft", "melody_audiocraft"), "audiocraft"),
}
_DIFFUSION = {
    **dict.fromkeys((*_DIFFUSERS, "mono_stable_audio"), "diffusers"),
    **dict.fromkeys(("stability", "velocity_stability"), "stable-audio-tools"),
}
_SMALL = ("mono", "melody", "audiocraft", *_DIFFUSERS, "stability")


@dataclass(frozen=True)
class Model:
    """A folder, and how tests sample from it.

    Attributes
    ----------
    folder
        Folder of the model.
    backend
        Backend that runs it.
    options
        Options of the sampling, such that it is quick.
    changes
        Another value of each option of the sampling.
    """

    folder: Path
    backend: str
    options: Mapping[str, Any]
    changes: Mapping[str, Any]

    def load(self, **options: Any) -> Any:
        return load_generator(self.folder, device="cpu", **{**self.options, **options})


def folder_fixture(
    name: str, build: Callable[..., Path], needs: OptionalLibraries | None = None, **options: Any
) -> Any:
    """Return a fixture `NAME_folder`: a tiny model, built once, or skipped where its library is not installed."""

    @pytest.fixture(scope="session", name=f"{name}_folder")
    def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
        if needs is not None:
            skip_without(needs)
        return build(tmp_path_factory.mktemp(name), **options)

    return folder


mono_folder = folder_fixture("mono", build_tiny_musicgen)
stereo_folder = folder_fixture("stereo", build_tiny_musicgen, channels=2, codebooks=3, layers=1)
# sizes that are no powers of two, 100 / 3 frames a second, no projection of the text
odd_folder = folder_fixture(
    "odd", build_tiny_musicgen, codebooks=5, vocabulary=128, width=36, layers=3, text_width=36,
    sample_rate=4_000, ratios=(5, 4, 3, 2), positions=200,
)  # fmt: skip
# like the lab's MusicGen: the spectral codec, six codebooks, 25 frames a second
lab_folder = folder_fixture("lab", build_tiny_musicgen, codebooks=6, spectral=True, text_width=32)
melody_folder = folder_fixture("melody", build_tiny_musicgen, melody=20)
stereo_melody_folder = folder_fixture(
    "stereo_melody", build_tiny_musicgen, channels=2, codebooks=2, width=24, text_width=24, melody=9
)
stable_audio_folder = folder_fixture("stable_audio", build_tiny_stable_audio, DIFFUSERS)
# sizes that are no powers of two, an odd ratio of the autoencoder
_ODD = {"channels": 1, "ratios": (2, 5, 3), "sample_rate": 1_234, "frames": 45, "latent": 6}
mono_stable_audio_folder = folder_fixture(
    "mono_stable_audio", build_tiny_stable_audio, DIFFUSERS, text_width=20, width=20, heads=(3, 3), **_ODD
)
# a distilled one, which renoises at each step
stable_audio_3_folder = folder_fixture("stable_audio_3", build_tiny_stable_audio_3, DIFFUSERS)
ace_step_folder = folder_fixture("ace_step", build_tiny_ace_step, DIFFUSERS)
audioldm2_folder = folder_fixture("audioldm2", build_tiny_audioldm2, DIFFUSERS)
# like Stable Audio Open Small: ping-pong
stability_folder = folder_fixture("stability", build_tiny_stability_audio, STABILITY)
# like Stable Audio Open 1.0: v-prediction; mono, a checkpoint of torch's
velocity_stability_folder = folder_fixture(
    "velocity_stability", build_tiny_stability_audio, STABILITY, objective="v", weights="model.ckpt", **_ODD
)
audiocraft_folder = folder_fixture("audiocraft", build_tiny_audiocraft, AUDIOCRAFT)
stereo_audiocraft_folder = folder_fixture("stereo_audiocraft", build_tiny_audiocraft, AUDIOCRAFT, channels=2)
melody_audiocraft_folder = folder_fixture("melody_audiocraft", build_tiny_audiocraft, AUDIOCRAFT, melody=True)
# its codec is named and lies in the format of transformers
named_audiocraft_folder = folder_fixture(
    "named_audiocraft", build_tiny_audiocraft, AUDIOCRAFT, named_codec=True
)


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
