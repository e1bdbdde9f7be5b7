"""The MuQ-MuLan towers, which map audio and text to frames; no item depends on its neighbours.

The towers are called by their parts: neither of muq's own forwards passes a mask to its transformer.
Modules are built from their configs and then filled strictly from one state dict; muq's `from_pretrained`
is not used (it loads the inner models by name, is not strict and prints to stdout).
"""

import copy
import inspect
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from types import MethodType
from typing import Any

import torch
from torch import nn

from music.clips import Clip
from music.devices import autocasting
from music.errors import InputError
from music.files import read_object
from music.hashing import canonical_json, sha256_text
from music.library_repairs import repair_torchaudio
from music.shapes import for_shapes, without_weights
from reward.cmi_rm.folded_subsampling import FoldedSubsampling
from reward.cmi_rm.locations import Locator
from reward.cmi_rm.muq_import import import_muq
from reward.cmi_rm.power_spectrogram import PowerSpectrogram
from reward.cmi_rm.weights import hash_tensors, load_strictly

CHUNK_SECONDS = 30
FRAMES_PER_SECOND = 25
MAX_SECONDS = 120.0  # the length the paper trains and benchmarks with
SHORTEST = 1024  # samples; the mel front end reflects so many and needs one more
_MAX_TOKENS = 512
_GPU_BATCH = 16  # chunks at a time
_CACHED = 1 << 17  # values of a hidden state `[chunks, frames, width]` that a CPU takes at a time
ARITHMETIC = 3  # part of every hash: raise it with any change of the code that moves what the towers give


@dataclass(frozen=True)
class TowerFiles:
    """Three configs and a tokenizer, of which towers are built, apart from their weights."""

    mulan: Mapping[str, Any]
    muq: Mapping[str, Any]
    text: Any
    tokenizer: Any


def find_tower_files(name: str, locator: Locator) -> TowerFiles:
    """Read the configs of the MuQ-MuLan `name` and of the two models it names.

    Raises
    ------
    InputError
        If a folder or file is missing, is not JSON or names models of another kind.
    """
    repair_torchaudio()  # transformers probes for it
    from transformers import AutoTokenizer, XLMRobertaConfig

    mulan_folder = locator.folder(name, ("config.json",))
    mulan = read_object(mulan_folder / "config.json")
    inner = locator.beside(mulan_folder)
    try:
        muq_name, text_name = mulan["audio_model"]["name"], mulan["text_model"]["name"]
        _ = mulan["audio_transformer"]["dim"], mulan["text_transformer"]["dim"]
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{mulan_folder / 'config.json'} is not the config of a MuQ-MuLan: it lacks {error}"
        ) from error
    muq = read_object(inner.folder(muq_name, ("config.json",)) / "config.json")
    text_folder = inner.folder(text_name, ("config.json", "*token*", "*.model", "vocab*"))
    text_fields = read_object(text_folder / "config.json")
    if text_fields.get("model_type") != "xlm-roberta":
        raise InputError(
            f"{text_folder}: expected an XLM-RoBERTa, got model_type {text_fields.get('model_type')!r}"
        )
    text = XLMRobertaConfig(**text_fields)
    return TowerFiles(mulan, muq, text, AutoTokenizer.from_pretrained(str(text_folder)))


class Towers(nn.Module):
    """Audio and text tower of a MuQ-MuLan, in eval mode, frozen unless `reward.cmi_rm.tuning` unfreezes a part.

    Parameters
    ----------
    files
        Configs and tokenizer.
    weights
        Tensors with keys ``audio_module.*`` and ``text_module.*``, exactly those of the towers.
    use_layer_idx
        Index of the hidden state of MuQ that feeds the projection.
    max_seconds
        Length of the beginning of any audio that is encoded, s.
    dtype
        ``float32`` or ``bfloat16`` (through autocast; the mel front end stays in fp32).

    Raises
    ------
    InputError
        If keys are missing or unexpected; they are named.
    """

    def __init__(
        self,
        files: TowerFiles,
        weights: Mapping[str, torch.Tensor],
        use_layer_idx: int = -1,
        max_seconds: float = MAX_SECONDS,
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        if dtype not in ("float32", "bfloat16"):
            raise InputError(f"--dtype must be float32 or bfloat16, got {dtype!r}")
        if not isinstance(max_seconds, int | float) or not (math.isfinite(max_seconds) and max_seconds > 0):
            raise InputError(f"max_seconds must be above 0 and finite, got {max_seconds!r}")
        self.sample_rate, self.max_seconds, self.dtype_name = 24_000, float(max_seconds), dtype
        self.files, self.use_layer_idx = files, use_layer_idx
        self.audio_module: Any
        self.text_module: Any
        with without_weights() if for_shapes() else nullcontext():
            self.audio_module, self.text_module = build_towers(files)
        encoder = self.audio_module.model.model
        encoder.conv = FoldedSubsampling(encoder.conv)
        if not for_shapes():
            load_strictly(self, weights, "the towers")
        self.eval().requires_grad_(False)

    @property
    def dim(self) -> int:
        """Width of a frame."""
        return int(self.files.mulan["audio_transformer"]["dim"])

    @property
    def device(self) -> torch.device:
        """Device of the towers."""
        return self.audio_module.proj.weight.device

    def sharing_weights(self) -> "Towers":
        """Return towers of the same weights for another thread: their modules remember what they computed last."""
        kept = [*self.parameters(), *self.buffers(), self.files, self.audio_module.model.model.conv.folded]
        return copy.deepcopy(self, {id(one): one for one in kept})

    def encode_audio(self, clip: Clip) -> torch.Tensor:
        """Return the frames `[T, dim]` of one clip; see `encode_audios`."""
        return self.encode_audios([clip])[0]

    def encode_audios(self, clips: Sequence[Clip]) -> list[torch.Tensor]:
        """Return the frames `[T, dim]` of each clip, `FRAMES_PER_SECOND`, in fp32 on the CPU.

        A clip is averaged to mono, cut to `max_seconds`, resampled to 24 kHz and encoded in independent chunks of 30 s;
        a tail of at most 1,024 samples is dropped. Chunks of equal length are encoded together: 16 on a GPU, on a CPU
        as many as its cache holds.

        Raises
        ------
        InputError
            If a clip is at most 1,024 samples (43 ms).
        """
        chunked = [self._chunks(clip) for clip in clips]
        flat = [chunk for chunks in chunked for chunk in chunks]
        frames: dict[int, torch.Tensor] = {}
        for group in self._groups([len(chunk) for chunk in flat]):
            encoded = self._forward_audio(torch.stack([flat[index] for index in group])).float().cpu()
            frames.update(zip(group, encoded, strict=True))
        rest = iter(range(len(flat)))
        return [torch.cat([frames[next(rest)] for _ in chunks]) for chunks in chunked]

    def refuse_short(self, seconds: float) -> None:
        """Raise `InputError` if audio of this length is too short to be encoded."""
        if seconds * self.sample_rate <= SHORTEST:
            least = SHORTEST / self.sample_rate
            raise InputError(f"audio of {seconds:.3f} s is too short: expected over {least:.3f} s")

    def _groups(self, lengths: Sequence[int]) -> list[list[int]]:
        """Return the indices of chunks that are encoded together: equally long, and not too many."""
        by_length: dict[int, list[int]] = {}
        for index, length in enumerate(lengths):
            by_length.setdefault(length, []).append(index)
        groups = []
        for length, group in by_length.items():
            most = _GPU_BATCH
            if self.device.type == "cpu":
                values = self.files.muq["encoder_dim"] * FRAMES_PER_SECOND * length / self.sample_rate
                most = max(1, int(_CACHED / values))
            groups += [group[start : start + most] for start in range(0, len(group), most)]
        return groups

    def _chunks(self, clip: Clip) -> list[torch.Tensor]:
        wave = clip.mono().first(self.max_seconds).resampled(self.sample_rate).waveform[0]
        self.refuse_short(len(wave) / self.sample_rate)
        return [chunk for chunk in wave.split(CHUNK_SECONDS * self.sample_rate) if len(chunk) > SHORTEST]

    def _forward_audio(self, waves: torch.Tensor) -> torch.Tensor:
        """Map `[B, samples]` of one length to `[B, T, dim]`; without masks, as nothing is padded."""
        with self._autocast():
            hidden = self.audio_module.model(waves.to(self.device)).hidden_states[self.use_layer_idx]
            return self.audio_module.transformer(self.audio_module.proj(hidden))

    def encode_text(self, text: str) -> torch.Tensor:
        """Return the frames `[tokens, dim]` of a text (at most 512, two for the empty text), fp32 on CPU."""
        tokens = self._tokens(text)
        with self._autocast():
            hidden = self.text_module.model(
                input_ids=tokens["input_ids"].to(self.device),
                attention_mask=tokens["attention_mask"].to(self.device),
            ).last_hidden_state
            frames = self.text_module.transformer(self.text_module.proj(hidden))
        return frames[0].float().cpu()

    def count_tokens(self, text: str) -> int:
        """Return the number of frames of a text."""
        return self._tokens(text)["input_ids"].shape[1]

    def _tokens(self, text: str) -> Any:
        return self.files.tokenizer([text], return_tensors="pt", truncation=True, max_length=_MAX_TOKENS)

    def _autocast(self) -> AbstractContextManager[Any]:
        return autocasting(self.device, self.dtype_name)

    @cached_property
    def hash(self) -> str:
        """Identity of the towers' outputs; the same towers have the same hash in whatever file they came."""
        facts = {
            "arithmetic": ARITHMETIC,
            "weights": hash_tensors(self.state_dict()),
            "mulan": {key: value for key, value in self.files.mulan.items() if key.endswith("transformer")},
            "muq": dict(self.files.muq),
            "tokenizer": _hash_tokenizer(self.files.tokenizer),
            "layer": self.use_layer_idx,
            "seconds": [CHUNK_SECONDS, self.max_seconds],
            "dtype": self.dtype_name,
            "versions": library_versions(),
        }
        return sha256_text(canonical_json(facts))


def library_versions() -> dict[str, str]:
    """Return the versions of the libraries whose arithmetic the scores are."""
    from importlib.metadata import version

    return {
        name: version(name).split("+")[0] for name in ("torch", "torchaudio", "transformers", "muq", "soxr")
    }


def _hash_tokenizer(tokenizer: Any) -> str:
    """Return the identity of a tokenizer, without the truncation and padding that its last call left set."""
    backend = tokenizer.backend_tokenizer
    copy = type(backend).from_str(backend.to_str())
    copy.no_truncation()
    copy.no_padding()
    return sha256_text(copy.to_str())


def build_muq(config: Mapping[str, Any]) -> Any:
    """Return a `muq.MuQ` with any weights; the global random states stay as they were (it seeds them).

    Gradients reach the audio: muq computes its spectrogram without any.
    """
    with _random_states_kept():
        model = import_muq().MuQ(dict(config))
    hearing = model.model
    for step in (hearing.preprocessing, hearing.normalize):
        setattr(hearing, step.__name__, MethodType(inspect.unwrap(step.__func__), hearing))
    mel = hearing.preprocessor_melspec_2048.mel_stft
    mel.spectrogram = PowerSpectrogram(mel.spectrogram)
    return model


def build_towers(files: TowerFiles) -> tuple[nn.Module, nn.Module]:
    """Return both towers with any weights; the global random states stay as they were."""
    import_muq()
    from muq.muq_mulan.models.audio import AudioSpectrogramTransformerPretrained
    from muq.muq_mulan.models.text import TextTransformerPretrained
    from transformers import XLMRobertaModel

    class AudioTower(AudioSpectrogramTransformerPretrained):
        def _init_pretrained_model(self, model_name: str) -> None:
            self.model = build_muq(files.muq)

    class TextTower(TextTransformerPretrained):
        @staticmethod
        def _get_pretrained_model_type(model_name: str) -> str:
            return "roberta"

        def _init_pretrained_model(self) -> nn.Module:
            return XLMRobertaModel(files.text)

    audio, text = files.mulan["audio_model"], files.mulan["text_model"]
    with _random_states_kept():
        audio_tower = AudioTower("muq", model_dim=audio["model_dim"], **files.mulan["audio_transformer"])
        text_tower = TextTower("xlm-roberta", model_dim=text["model_dim"], **files.mulan["text_transformer"])
    return audio_tower, text_tower


@contextmanager
def _random_states_kept() -> Iterator[None]:
    state = random.getstate()
    with torch.random.fork_rng(devices=[]):
        yield
    random.setstate(state)
