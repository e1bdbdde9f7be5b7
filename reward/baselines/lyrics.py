"""How much of its lyrics a clip sings: the words that Whisper (arXiv 2212.04356) hears, against those of the prompt.

    --reward lyrics --judges lyrics:openai/whisper-small    the published model; another Whisper of transformers

`lyrics_accuracy` is 1 minus the word error rate: 1 if every word is heard and no other, 0 if as many are wrong, missing
or too many as the lyrics have, and below 0 if more are.
"""

import unicodedata
from collections.abc import Mapping
from typing import Any

import regex
import torch

from music.errors import InputError
from music.hashing import sha256_text
from music.library_repairs import repair_torchaudio
from music.optional_libraries import OptionalLibraries, install_extra
from music.progress import without_bars_of_transformers
from music.prompts import Prompt
from reward.baselines.clip_scorer import ClipScorer
from reward.cmi_rm.locations import Locator

LIBRARIES = OptionalLibraries("lyrics", ("jiwer",), install_extra("lyrics"))
_PATTERNS = ("config.json", "generation_config.json", "preprocessor_config.json", "*token*", "vocab*", "merges*",
             "model.safetensors")  # fmt: skip
_ARITHMETIC = 1  # raise it with any change of the code that moves scores
_TAG = regex.compile(r"\[[^\]\n]*\]")
# scripts without spaces between words: each letter counts as a word
_LETTERS = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_WORD = regex.compile(rf"(?V1)[{_LETTERS}]\p{{M}}*|[[\p{{L}}\p{{M}}\p{{N}}]--[{_LETTERS}]]+")


def words_of(text: str) -> list[str]:
    """Return what is sung, in lower case, without punctuation and without tags such as ``[verse]``.

    Apostrophes join what they stand between; every letter of a script without spaces between words is a word.
    """
    plain = unicodedata.normalize("NFKC", _TAG.sub(" ", text)).casefold()
    return _WORD.findall(regex.sub(r"['’`]", "", plain))


class LyricsAccuracy(ClipScorer):
    """Greedy transcription in pieces of 30 seconds, each alone and in the language that Whisper finds in it.

    The place is a folder or hub id of a `WhisperForConditionalGeneration`.
    """

    kind, published = "lyrics", "openai/whisper-large-v3"
    metrics = ("lyrics_accuracy",)
    max_seconds = 600.0  # what is not heard would count as not sung
    libraries = ("transformers", "jiwer", "regex")

    def load(self, place: str) -> tuple[torch.nn.Module, Mapping[str, Any]]:
        """Return the Whisper; see `ClipScorer`."""
        LIBRARIES.check()
        repair_torchaudio()  # transformers probes for it
        from transformers import AutoFeatureExtractor, AutoTokenizer, WhisperForConditionalGeneration

        folder = Locator().folder(place, _PATTERNS)
        kind: Any = WhisperForConditionalGeneration  # its annotation forgets the report
        try:
            with without_bars_of_transformers():
                model, report = kind.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
            self._extract: Any = AutoFeatureExtractor.from_pretrained(folder)
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        except (OSError, ValueError) as error:
            raise InputError(f"{place} holds no Whisper of transformers: {error}") from error
        if report["missing_keys"]:
            raise InputError(f"{place}: {len(report['missing_keys'])} weights of the Whisper are missing")
        self.sample_rate = int(self._extract.sampling_rate)
        self._options: dict[str, Any] = {"do_sample": False, "num_beams": 1, "return_timestamps": False}
        if getattr(model.generation_config, "is_multilingual", False):
            self._options["task"] = "transcribe"
        return model, {
            "arithmetic": _ARITHMETIC,
            "features": self._extract.to_dict(),
            "tokenizer": sha256_text(self._tokenizer.backend_tokenizer.to_str()),
            "generation": {**model.generation_config.to_diff_dict(), **self._options},
        }

    def check_prompt(self, prompt: Prompt) -> None:
        """`InputError` for a prompt without lyrics; see `reward.protocol.Scorer`."""
        if not words_of(prompt.lyrics):
            raise InputError(f"{self.name} compares a clip with its lyrics, and there are none")

    def measure(self, wave: torch.Tensor, prompt: Prompt) -> list[float]:
        """Return 1 minus the word error rate; see `ClipScorer`."""
        import jiwer

        self.check_prompt(prompt)
        lyrics = words_of(prompt.lyrics)
        heard = [
            word for piece in wave.split(self._extract.n_samples) for word in words_of(self._text(piece))
        ]
        return [1.0 - jiwer.wer(" ".join(lyrics), " ".join(heard))]

    def _text(self, piece: torch.Tensor) -> str:
        found = self._extract(piece.numpy(), sampling_rate=self.sample_rate, return_tensors="pt")
        with self._autocast():
            tokens = self._model.generate(found["input_features"].to(self._device), **self._options)
        return self._tokenizer.decode(tokens[0], skip_special_tokens=True)
