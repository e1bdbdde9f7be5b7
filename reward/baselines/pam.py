"""PAM (arXiv 2402.00282): whether a clip sounds clean rather than noisy to CLAP 2023 (arXiv 2309.05767).

    --reward pam --judges pam:FOLDER    the published weights; a folder with CLAP_weights_2023.pth

CLAP's embedding of the audio is compared with those of two opposite texts; the score is the softmax of the first, in
(0, 1). The model is that of the package msclap. GPT-2, whose tokenizer and sizes it needs, is looked for in and beside
the folder, then on the hub.
"""

import warnings
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import normalize

from music.errors import InputError
from music.files import read_yaml
from music.library_repairs import repair_torchaudio
from music.optional_libraries import OptionalLibraries, install_extra
from music.prompts import Prompt
from music.torch_files import read_torch_tensors
from reward.baselines.clip_scorer import ClipScorer
from reward.baselines.in_float32 import InFloat32
from reward.cmi_rm.locations import Locator
from reward.cmi_rm.weights import load_strictly

_INSTALL = f"{install_extra('pam')} && pip install --no-deps msclap==1.3.4"
LIBRARIES = OptionalLibraries("pam", ("msclap", "torchlibrosa"), _INSTALL)
TEXTS = ("the sound is clear and clean.", "the sound is noisy and with artifacts.")
_WEIGHTS = "CLAP_weights_2023.pth"
_GPT2 = "openai-community/gpt2"
_GPT2_FILES = ("config.json", "tokenizer*", "vocab.json", "merges.txt")
_CAUSAL_MASKS = (".attn.bias", ".attn.masked_bias")  # of GPT-2, as older versions of transformers saved it
_ARITHMETIC = 1  # raise it with any change of the code that moves scores


class Pam(ClipScorer):
    """The mean over pieces of seven seconds; the last one ends with the clip and may overlap the one before.

    A clip that is shorter than a piece is repeated until it fills one. That is how the authors cut; msclap's own reader
    takes seven seconds at random instead. Unlike theirs, channels are averaged rather than heard one after the other,
    and soxr resamples.

    The place is a folder or hub id with the weights. The mel front end stays in float32.
    """

    kind, published = "pam", "microsoft/*"
    metrics = ("pam",)
    libraries = ("msclap", "torchlibrosa", "transformers")

    def load(self, place: str) -> tuple[nn.Module, Mapping[str, Any]]:
        """Return the model of msclap; see `ClipScorer`."""
        LIBRARIES.check()
        import_msclap()
        from transformers import AutoTokenizer

        folder = Locator().folder(place, (_WEIGHTS,))
        gpt2 = Locator().beside(folder).folder(_GPT2, _GPT2_FILES)
        settings = _published_settings()
        self.sample_rate = int(settings["sampling_rate"])
        self._piece = int(settings["duration"]) * self.sample_rate
        model = _load_clap(folder / _WEIGHTS, gpt2, settings)
        tokenizer: Any = AutoTokenizer.from_pretrained(str(gpt2))
        # GPT-2 sees nothing of what follows, so no padding is needed
        self._texts = [tokenizer(f"{text} <|endoftext|>", return_tensors="pt") for text in TEXTS]
        return model, {
            "arithmetic": _ARITHMETIC,
            "texts": [text["input_ids"].tolist() for text in self._texts],
            "settings": settings,
            "gpt2": model.caption_encoder.base.config.to_diff_dict(),
        }

    @cached_property
    def _embedded_texts(self) -> torch.Tensor:
        """The embeddings of the texts, `[2, D]`, of length 1."""
        with self._autocast():
            found = [self._model.caption_encoder(text.to(self._device))[0] for text in self._texts]
        return normalize(torch.stack(found).float(), dim=-1)

    def measure(self, wave: torch.Tensor, prompt: Prompt) -> list[float]:
        """Return the probability of the first text; see `ClipScorer`."""
        return [float(torch.stack([self._clean(piece) for piece in cut(wave, self._piece)]).mean())]

    def _clean(self, piece: torch.Tensor) -> torch.Tensor:
        with self._autocast():
            heard, _ = self._model.audio_encoder(piece[None].to(self._device))
        similarities = self._embedded_texts @ normalize(heard[0].float(), dim=-1)
        return (self._model.logit_scale.exp() * similarities).softmax(dim=-1)[0]


def cut(wave: torch.Tensor, length: int) -> list[torch.Tensor]:
    """Return the pieces `[length]` of a wave `[samples]`, as PAM cuts it."""
    if len(wave) <= length:
        return [wave.repeat(-(-length // len(wave)))[:length]]
    whole = list(wave[: len(wave) // length * length].split(length))
    return whole if len(wave) % length == 0 else [*whole, wave[-length:]]


def _load_clap(path: Path, gpt2: Path, settings: Mapping[str, Any]) -> Any:
    from transformers import GPT2Config

    tensors = read_torch_tensors(path, "CLAP of msclap", "model")
    try:
        shared, width = tensors["audio_encoder.projection.linear1.weight"].shape
    except (KeyError, ValueError) as error:
        raise InputError(f"{path} holds no CLAP of msclap: {error}") from error
    tensors = {key: value for key, value in tensors.items() if not key.endswith(_CAUSAL_MASKS)}
    with torch.random.fork_rng(devices=[]):  # its first weights are thrown away
        model = _build(GPT2Config.from_pretrained(str(gpt2)), settings, width, shared)
    load_strictly(model, tensors, f"the CLAP of {path}")
    hearing: Any = model.audio_encoder.base.htsat
    hearing.spectrogram_extractor = InFloat32(hearing.spectrogram_extractor)
    hearing.logmel_extractor = InFloat32(hearing.logmel_extractor)
    return model


def _build(gpt2: Any, settings: Mapping[str, Any], width: int, shared: int) -> Any:
    """Return the parts of msclap's model, under the names of its weights; GPT-2 is built and not downloaded."""
    import_msclap()
    from msclap.models.clap import AudioEncoder, Projection, TextEncoder
    from transformers import GPT2Model

    class BuiltTextEncoder(TextEncoder):
        def __init__(self) -> None:
            nn.Module.__init__(self)
            self.text_model = settings["text_model"]
            self.base = GPT2Model(gpt2)
            self.projection = Projection(gpt2.n_embd, shared)

    names = ("sampling_rate", "window_size", "hop_size", "mel_bins", "fmin", "fmax", "num_classes")
    hearing = [settings[name] for name in names]
    model: Any = nn.Module()
    model.audio_encoder = AudioEncoder(settings["audioenc_name"], width, shared, *hearing)
    model.caption_encoder = BuiltTextEncoder()
    model.logit_scale = nn.Parameter(torch.zeros([]))
    return model


def _published_settings() -> dict[str, Any]:
    """Return the settings of CLAP 2023, which lie in the package."""
    path = Path(import_msclap().__file__).parent / "configs" / "config_2023.yml"
    return read_yaml(path)


def import_msclap() -> Any:
    """Return the package `msclap`; importing it silences all warnings and transformers, which is undone."""
    repair_torchaudio()  # it imports that
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    with warnings.catch_warnings():
        import msclap
    logging.set_verbosity(verbosity)
    return msclap
