"""Load a MusicGen folder, plain or melody, with transformers, and refuse early what could not generate."""

from pathlib import Path
from typing import Any

import torch

from generators.shared.model_folder import check_kind
from generators.shared.model_loading import load_whole, loading
from music.errors import InputError
from music.files import read_object
from music.paths import is_file

MELODY = "musicgen_melody"
MODEL_TYPES = ("musicgen", MELODY)
CHROMA_CONFIG = "preprocessor_config.json"  # says how a melody becomes chroma


def own_sampling(folder: Path) -> dict[str, Any]:
    """Return the options of `SamplingOptions` that a folder's ``generation_config.json`` sets.

    Raises
    ------
    InputError
        If the file is there and cannot be read.
    """
    path = folder / "generation_config.json"
    if not is_file(path):
        return {}
    config = read_object(path)
    named = {"guidance": config.get("guidance_scale")}
    named |= {option: config.get(option) for option in ("temperature", "top_k")}
    return {option: value for option, value in named.items() if value is not None}


def load_model(folder: Path, device: torch.device, dtype: torch.dtype) -> tuple[Any, Any]:
    """Load model and tokenizer.

    Parameters
    ----------
    folder
        Folder with configuration, weights and tokenizer, as `save_pretrained` writes them.
    device
        Device that the model is moved to.
    dtype
        Numeric type of the decoder, which does nearly all the work; text encoder and codec stay in float32.

    Returns
    -------
    tuple
        A `MusicgenForConditionalGeneration` or a `MusicgenMelodyForConditionalGeneration` in evaluation mode, and
        the tokenizer of its text encoder.

    Raises
    ------
    InputError
        If the folder does not hold a whole MusicGen.
    """
    melody = check_kind(folder, MODEL_TYPES) == MELODY
    with loading(folder, "MusicGen"):
        import transformers

        import generators.musicgen.spectral_codec  # noqa: F401  registers the codec of the lab's models

        kind = f"Musicgen{'Melody' if melody else ''}ForConditionalGeneration"
        model = load_whole(getattr(transformers, kind), folder, dtype=torch.float32)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    _check_parts(folder, model.config)
    model.decoder.to(dtype)
    return model.to(device).eval(), tokenizer


def load_chroma(folder: Path) -> Any:
    """Return the `MusicgenMelodyFeatureExtractor` of a melody model.

    Raises
    ------
    InputError
        If its configuration is missing or damaged.
    """
    with loading(folder / CHROMA_CONFIG, "the chroma of a MusicGen Melody"):
        from transformers.models.musicgen_melody.feature_extraction_musicgen_melody import (
            MusicgenMelodyFeatureExtractor,
        )

        return MusicgenMelodyFeatureExtractor.from_pretrained(folder, local_files_only=True)


def _check_parts(folder: Path, config: Any) -> None:
    decoder, codec = config.decoder, config.audio_encoder
    if decoder.num_codebooks % decoder.audio_channels:
        raise InputError(
            f"{folder}: {decoder.num_codebooks} codebooks cannot serve {decoder.audio_channels} channels"
        )
    if codec.codebook_size != decoder.vocab_size:
        raise InputError(
            f"{folder}: the decoder knows {decoder.vocab_size} codes, the codec has {codec.codebook_size}"
        )
    needed = decoder.num_codebooks // decoder.audio_channels
    if codec.num_quantizers < needed:
        raise InputError(
            f"{folder}: the decoder makes {needed} codebooks a channel, the codec has {codec.num_quantizers}"
        )
