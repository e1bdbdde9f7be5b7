"""Import audiocraft without what only its training and its other models need.

Its modules name a dozen packages at their top, among them old builds that do not install beside ours. Making music
with MusicGen needs none of them: not the kernels of xformers (torch's attention is audiocraft's default), no spaCy,
no decoding of files, no training loop. The chroma filters of librosa are those of transformers, which are a port of
them.
"""

import importlib
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any

import torch

from generators.shared.stand_ins import module, stand_ins
from music.library_repairs import repair_torchaudio
from music.optional_libraries import OptionalLibraries, install_extra

LIBRARIES = OptionalLibraries(
    "audiocraft",
    ("audiocraft", "omegaconf"),
    f"{install_extra('audiocraft')} && pip install --no-deps audiocraft==1.3.0",
)


@dataclass(frozen=True)
class AudiocraftLibrary:
    """What is used of audiocraft.

    Attributes
    ----------
    builders
        `audiocraft.models.builders`.
    text_conditioner
        The class of conditioners that hold a T5.
    wave
        The class of what a melody conditioner is given.
    encodec
        The class that wraps an `EncodecModel` of transformers.
    create_config
        Function from the text of a configuration to an `omegaconf.DictConfig`.
    """

    builders: Any
    text_conditioner: Any
    wave: Any
    encodec: Any
    create_config: Callable[[str], Any]


@cache
def import_audiocraft() -> AudiocraftLibrary:
    """Import it."""
    repair_torchaudio()
    # before the stand-ins: transformers looks for some of them when it is asked for a name
    from omegaconf import OmegaConf
    from transformers import EncodecModel, RobertaTokenizer, T5EncoderModel, T5Tokenizer  # noqa: F401

    unused = {name: module(name) for name in ("av", "flashy", "flashy.distrib", "julius", "librosa", "spacy")}
    unused["flashy"].__dict__["distrib"] = unused["flashy.distrib"]
    unused["librosa"].__dict__["filters"] = module("librosa.filters", chroma=_chroma_filters)
    unused["num2words"] = module("num2words", num2words=None)
    # a decoder that drags in all that trains models
    decoder = "audiocraft.models.multibanddiffusion"
    unused[decoder] = module(decoder, MultiBandDiffusion=None)
    with warnings.catch_warnings(), attention(), stand_ins(unused):
        warnings.simplefilter("ignore")
        builders, conditioners, encodec = (
            importlib.import_module(f"audiocraft.{name}")
            for name in ("models.builders", "modules.conditioners", "models.encodec")
        )
    return AudiocraftLibrary(
        builders,
        conditioners.T5Conditioner,
        conditioners.WavCondition,
        encodec.HFEncodecCompressionModel,
        OmegaConf.create,
    )


def attention() -> AbstractContextManager[None]:
    """While it lasts, audiocraft's attention finds what it looks for in xformers at every step."""
    idle = SimpleNamespace(_Profiler=SimpleNamespace(_CURRENT_PROFILER=None))
    operations = module(
        "xformers.ops",
        unbind=torch.unbind,
        memory_efficient_attention=None,
        LowerTriangularMask=type("LowerTriangularMask", (), {}),
    )
    return stand_ins(
        {
            "xformers": module("xformers", path=[], ops=operations),
            "xformers.ops": operations,
            "xformers.profiler": module("xformers.profiler", profiler=idle),
        }
    )


def _chroma_filters(sr: int, n_fft: int, tuning: float, n_chroma: int) -> Any:
    """Return the weights of `librosa.filters.chroma`, `[n_chroma, 1 + n_fft / 2]`, float32."""
    from transformers.audio_utils import chroma_filter_bank

    weights = chroma_filter_bank(
        num_frequency_bins=n_fft, num_chroma=n_chroma, sampling_rate=sr, tuning=tuning
    )
    return weights.astype("float32")
