"""CLAP (arXiv 2211.06687) as a joint embedding of audio and text, from checkpoints of transformers.

Its own feature extractor takes a random piece of audio that is longer than ten seconds, so that scores move from call
to call. Here a clip is cut into pieces of that length, and no random number is drawn.
"""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import normalize

from music.clips import Clip
from music.devices import find_device, find_dtype
from music.errors import InputError
from music.hashing import canonical_json, sha256_text
from music.library_repairs import repair_torchaudio
from music.progress import without_bars_of_transformers
from reward.baselines.similarity import JointEmbedding, Similarity
from reward.baselines.waves import mean_over_pieces, mono_wave
from reward.cmi_rm.locations import Locator
from reward.cmi_rm.weights import hash_tensors

MAX_SECONDS = 120.0
_PATTERNS = ("config.json", "preprocessor_config.json", "*token*", "vocab*", "merges*", "model.safetensors")


class ClapEmbedding(JointEmbedding):
    """Audio in pieces of ten seconds, each alone; the mean of their embeddings of length 1, weighted by duration.

    The last piece is repeated until it is full, as the feature extractor does with short audio.

    The place is a folder or hub id of a `ClapModel` of transformers.
    """

    max_seconds = MAX_SECONDS

    def __init__(self, place: str, name: str, device: str = "auto", dtype: str = "float32") -> None:
        repair_torchaudio()  # transformers probes for it
        from transformers import AutoFeatureExtractor, AutoTokenizer, ClapModel

        folder = Locator().folder(place, _PATTERNS)
        self._model: Any
        self.name, self._dtype, self._device = name, find_dtype(dtype), find_device(device)
        try:
            with without_bars_of_transformers():
                self._model = ClapModel.from_pretrained(folder, dtype=torch.float32)
            self._extract: Any = AutoFeatureExtractor.from_pretrained(folder)
            self._tokenize: Any = AutoTokenizer.from_pretrained(folder)
        except (OSError, ValueError) as error:
            raise InputError(f"{place} holds no CLAP of transformers: {error}") from error
        self._model.eval().requires_grad_(False)
        self.sample_rate: int = int(self._extract.sampling_rate)
        facts = {
            "weights": hash_tensors(self._model.state_dict()),
            "features": self._extract.to_dict(),
            "tokenizer": sha256_text(self._tokenize.backend_tokenizer.to_str()),
            "dtype": str(self._dtype).removeprefix("torch."),
            "seconds": MAX_SECONDS,
            "versions": {name: version(name).split("+")[0] for name in ("torch", "transformers", "soxr")},
        }
        self.hash = sha256_text(canonical_json(facts))  # while the weights are on the CPU
        self._model.to(self._device)

    def embed_audio(self, clip: Clip) -> torch.Tensor:
        """Return `[D]`; its length is 1 for one piece and less for several that differ."""
        wave = mono_wave(clip, self.sample_rate)
        return mean_over_pieces(wave, int(self._extract.nb_max_samples), self._piece)

    def embed_text(self, text: str) -> torch.Tensor:
        """Return `[D]`, of length 1."""
        tokens = self._tokenize(text, return_tensors="pt", truncation=True).to(self._device)
        with self._autocast():
            return self._unit(self._model.get_text_features(**tokens))

    def _piece(self, wave: torch.Tensor) -> torch.Tensor:
        inputs = self._extract(wave.numpy(), sampling_rate=self.sample_rate, return_tensors="pt").to(
            self._device
        )
        inputs["is_longer"] = torch.zeros_like(inputs["is_longer"])  # a fused model draws one at random
        with self._autocast():
            return self._unit(self._model.get_audio_features(**inputs))

    @staticmethod
    def _unit(output: Any) -> torch.Tensor:
        found = output if isinstance(output, torch.Tensor) else output.pooler_output
        return normalize(found[0].float().cpu(), dim=0)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self._device.type, torch.bfloat16, enabled=self._dtype == torch.bfloat16)


def clap_similarity(place: str, device: str, dtype: str) -> Similarity:
    """Return the scorer of a CLAP."""
    name = "clap" if place.startswith("laion/clap-") else Path(place).name
    return Similarity(ClapEmbedding(place, name, device, dtype))
