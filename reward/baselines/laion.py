"""CLAP (arXiv 2211.06687) from the checkpoints of the package laion_clap, as a `ClapModel` of transformers.

They are not the CLAPs that LAION has on the hub in the files of transformers: those give other embeddings
(https://github.com/LAION-AI/CLAP/issues/172).
"""

from collections.abc import Iterator, Mapping
from math import isqrt
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import normalize

from music.errors import InputError
from music.files import read_object
from music.hashing import sha256_text
from music.library_repairs import repair_torchaudio
from music.torch_files import read_torch_tensors
from reward.cmi_rm.weights import load_strictly

RATE, LONGEST = 48_000, 480_000  # Hz; samples that are heard at a time
ROBERTA_FILES = ("config.json", "tokenizer*", "special_tokens*", "vocab.json", "merges.txt")
ARITHMETIC = 1  # raise it with any change of the code that moves embeddings
_MAX_TOKENS = 77
_SPECTROGRAM_SIZE = 256  # sides of the picture that the audio tower makes of a spectrogram
_LOWEST, _HIGHEST = 50, 14_000  # Hz
# what the embeddings do not depend on: the front end is computed, and the rest is for training
_UNUSED = tuple(
    f"audio_branch.{name}." for name in ("spectrogram_extractor", "logmel_extractor", "tscam_conv", "head")
)
_UNUSED += ("audio_transform.", "text_transform.")
# names of laion_clap, and those of transformers
_RENAMED = {
    "audio_branch.bn0.": "audio_model.audio_encoder.batch_norm.",
    "audio_branch.": "audio_model.audio_encoder.",
    "text_branch.": "text_model.",
    "_projection.0.": "_projection.linear1.",
    "_projection.2.": "_projection.linear2.",
    ".norm1.": ".layernorm_before.",
    ".norm2.": ".layernorm_after.",
    ".attn.proj.": ".attention.output.dense.",
    ".attn.": ".attention.self.",
    ".mlp.fc1.": ".intermediate.dense.",
    ".mlp.fc2.": ".output.dense.",
}


class LaionClap(nn.Module):
    """A CLAP without fusion; its embeddings `[D]` have length 1.

    Parameters
    ----------
    path
        Checkpoint, such as ``music_audioset_epoch_15_esc_90.14.pt``.
    roberta
        Folder with the config and the tokenizer of the RoBERTa that reads texts.

    Raises
    ------
    InputError
        If a file is missing or damaged, or holds another model.
    """

    def __init__(self, path: Path, roberta: Path) -> None:
        super().__init__()
        repair_torchaudio()  # transformers probes for it
        from transformers import AutoTokenizer, ClapFeatureExtractor, ClapModel

        tensors = dict(_renamed(_read(path)))
        with torch.random.fork_rng(devices=[]):  # its first weights are thrown away
            self.model: Any = ClapModel(_config(tensors, read_object(roberta / "config.json"), path))
        load_strictly(self.model, tensors, f"the CLAP of {path}")
        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(str(roberta))
        except (OSError, ValueError) as error:
            raise InputError(f"{roberta} holds no tokenizer of RoBERTa: {error}") from error
        self.tokenizer_hash = sha256_text(
            self.tokenizer.backend_tokenizer.to_str()
        )  # its first call sets more
        self._extract: Any = ClapFeatureExtractor(
            truncation="rand_trunc", padding="repeatpad", frequency_min=_LOWEST, frequency_max=_HIGHEST
        )

    @property
    def dim(self) -> int:
        """Width of an embedding."""
        return int(self.model.config.projection_dim)

    def embed_audio(self, wave: torch.Tensor) -> torch.Tensor:
        """Return the embedding of a wave `[samples]` at `RATE`, of 1 to `LONGEST` samples.

        It is rounded to 16 bits and repeated as often as it fits whole; the rest is silence.
        """
        whole = (wave.clamp(-1, 1) * 32_767).trunc() / 32_767
        inputs = self._extract(whole.numpy(), sampling_rate=RATE, return_tensors="pt")
        return self._unit(self.model.get_audio_features(**inputs.to(self.model.device)))

    def embed_text(self, text: str) -> torch.Tensor:
        """Return the embedding of the first 77 tokens of a text."""
        tokens = self.tokenizer([text], return_tensors="pt", truncation=True, max_length=_MAX_TOKENS)
        inputs = {name: tokens[name].to(self.model.device) for name in ("input_ids", "attention_mask")}
        return self._unit(self.model.get_text_features(**inputs))

    @staticmethod
    def _unit(output: Any) -> torch.Tensor:
        found = output if isinstance(output, torch.Tensor) else output.pooler_output
        return normalize(found[0].float().cpu(), dim=0)


def _read(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a checkpoint, without what a wrapper for several GPUs puts before their names."""
    from numpy import dtype
    from numpy._core.multiarray import scalar

    kinds = {type(dtype(kind)) for kind in ("float32", "float64", "int32", "int64")}
    # progress of the training lies beside the weights, as numbers of NumPy; older versions have them elsewhere
    harmless: list[Any] = [scalar, (scalar, "numpy.core.multiarray.scalar"), dtype, *kinds]
    with torch.serialization.safe_globals(harmless):
        tensors = read_torch_tensors(path, "CLAP of laion_clap", "state_dict")
    return {key.removeprefix("module."): value for key, value in tensors.items()}


def _renamed(tensors: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:
    for key, value in tensors.items():
        if key.startswith(_UNUSED) or key.endswith(".attn_mask"):
            continue
        for old, new in _RENAMED.items():
            key = key.replace(old, new)
        if ".self.qkv." in key:
            parts = zip(("query", "key", "value"), value.chunk(3), strict=True)
            yield from ((key.replace("qkv", name), part) for name, part in parts)
        else:
            yield key, value


def _config(tensors: Mapping[str, torch.Tensor], roberta: Mapping[str, Any], path: Path) -> Any:
    """Return the config of a model; the sizes of the audio tower are those of its weights."""
    from transformers import ClapConfig

    encoder = "audio_model.audio_encoder"
    table = "attention.self.relative_position_bias_table"
    try:
        blocks = [key.split(".")[3:6:2] for key in tensors if key.endswith(table)]
        depths = [
            sum(stage == f"{index}" for stage, _ in blocks)
            for index in range(len({one for one, _ in blocks}))
        ]
        tables = [tensors[f"{encoder}.layers.{stage}.blocks.0.{table}"] for stage in range(len(depths))]
        if not tables:
            raise KeyError(table)
        width, _, patch, _ = tensors[f"{encoder}.patch_embed.proj.weight"].shape
        projection = len(tensors["audio_projection.linear2.bias"])
        hearing = {
            "patch_embeds_hidden_size": width,
            "hidden_size": width * 2 ** (len(depths) - 1),
            "depths": depths,
            "num_hidden_layers": len(depths),
            "num_attention_heads": [one.shape[1] for one in tables],
            "window_size": (isqrt(tables[0].shape[0]) + 1) // 2,
            "patch_size": patch,
            "patch_stride": [patch, patch],
            "spec_size": _SPECTROGRAM_SIZE,
            "num_mel_bins": len(tensors[f"{encoder}.batch_norm.weight"]),
        }
    except (KeyError, ValueError) as error:
        raise InputError(f"{path} holds no CLAP of laion_clap: it lacks {error}") from error
    reading = {key: value for key, value in roberta.items() if key not in ("model_type", "architectures")}
    return ClapConfig(text_config=reading, audio_config=hearing, projection_dim=projection)
