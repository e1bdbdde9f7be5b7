"""Import stable-audio-tools without what only its training needs, and without what it says on the way.

It imports k-diffusion, whose own import loads half a dozen libraries for training on images; only its samplers are
used. It takes flash-attn where that is installed, which computes in float16 whatever the model is in, and prints
that it is missing where it is not: for us it is never there.
"""

import importlib
import importlib.util
import io
import warnings
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cache
from typing import Any

from generators.shared.stand_ins import module, stand_ins
from music.library_repairs import repair_torchaudio
from music.optional_libraries import OptionalLibraries, install_extra

LIBRARIES = OptionalLibraries(
    "stable-audio-tools",
    (
        "stable_audio_tools",
        "k_diffusion",
        "alias_free_torch",
        "einops_exts",
        "torchdiffeq",
        "torchsde",
        "scipy",
    ),
    f"{install_extra('stable-audio-tools')} && "
    "pip install --no-deps stable-audio-tools==0.0.19 k-diffusion==0.1.1",
)


@dataclass(frozen=True)
class StabilityLibrary:
    """What is used of stable-audio-tools and k-diffusion.

    Attributes
    ----------
    create_model
        Function from the content of a ``model_config.json`` to a model with random weights.
    text_conditioner
        The class of conditioners that hold a T5.
    samplers, denoisers
        `k_diffusion.sampling` and `k_diffusion.external`.
    """

    create_model: Callable[[Mapping[str, Any]], Any]
    text_conditioner: Any
    samplers: Any
    denoisers: Any


@cache
def import_stability() -> StabilityLibrary:
    """Import it."""
    repair_torchaudio()
    found = importlib.util.find_spec("k_diffusion")
    assert found is not None  # see `LIBRARIES`
    absent = {
        "flash_attn": None,
        # a package without its own initialisation
        "k_diffusion": module("k_diffusion", path=list(found.submodule_search_locations or [])),
        # of helpers for images
        "torchvision": module("torchvision", path=[]),
        "torchvision.transforms": module("torchvision.transforms", path=[], functional=None),
    }
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), stand_ins(absent):
        warnings.simplefilter("ignore")
        samplers, denoisers = map(importlib.import_module, ("k_diffusion.sampling", "k_diffusion.external"))
        conditioners, _, _, factory = (
            importlib.import_module(f"stable_audio_tools.models.{name}")
            for name in ("conditioners", "diffusion", "autoencoders", "factory")
        )
    return StabilityLibrary(factory.create_model_from_config, conditioners.T5Conditioner, samplers, denoisers)
