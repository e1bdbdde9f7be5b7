"""Find and load a MusicGen in audiocraft's own format, and refuse early what could not generate.

Such a folder holds ``state_dict.bin`` and ``compression_state_dict.bin``, each a checkpoint of torch with weights and
configuration. The text encoder is only named in the first, and the second may only name a codec on the hub (see
`generators.shared.model_folder`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from pathlib import Path
from typing import Any

import torch

from generators.musicgen.audiocraft.library import attention, import_audiocraft
from generators.musicgen.delay_pattern import DelayPattern
from generators.shared.model_folder import find_named, weights_hash
from generators.shared.model_loading import (
    CHECKPOINT_ERRORS,
    check_fit,
    check_t5,
    known_t5,
    load_whole,
    loading,
)
from generators.shared.stand_ins import module, stand_ins
from music.errors import InputError
from music.hashing import canonical_json, sha256_folder, sha256_text
from music.torch_files import read_torch_file

LANGUAGE_MODEL, CODEC = "state_dict.bin", "compression_state_dict.bin"
TEXT, MELODY = "description", "self_wav"  # the conditions that published models know
_KINDS = {TEXT: "t5", MELODY: "chroma_stem"}
# what older configurations have and the library no longer takes
_OUTDATED = (
    ("conditioners", MELODY, "chroma_stem", "cache_path"),
    ("conditioners", "args", "merge_text_conditions_p"),
    ("conditioners", "args", "drop_desc_p"),
)


@dataclass(frozen=True, eq=False)
class AudiocraftParts:
    """A MusicGen as audiocraft loads it.

    Attributes
    ----------
    language_model
        An `LMModel` in evaluation mode, with its conditioners.
    codec
        A `CompressionModel`; of a stereo model the one that interleaves the channels.
    frame
        Samples a frame of codes.
    seconds
        Length of the clips that it was trained on, s.
    weights
        SHA-256 of both checkpoints and of what they name.
    """

    language_model: Any
    codec: Any
    frame: Fraction
    seconds: float
    weights: str


def download_audiocraft(hub_id: str) -> Path:
    """Return the folder of a model on the hub."""
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(hub_id, allow_patterns=[LANGUAGE_MODEL, CODEC]))


def load_parts(folder: Path, device: torch.device, dtype: torch.dtype) -> AudiocraftParts:
    """Load a model.

    Parameters
    ----------
    folder
        Folder with both checkpoints.
    device
        Device that it is moved to.
    dtype
        Numeric type of the transformer, which does nearly all the work; all else stays in float32.

    Raises
    ------
    InputError
        If the folder does not hold a whole MusicGen.
    """
    from omegaconf.errors import OmegaConfBaseException

    with loading(folder, "MusicGen of audiocraft", (*CHECKPOINT_ERRORS, OmegaConfBaseException)):
        config, weights = _read(folder / LANGUAGE_MODEL)
        _check_config(folder / LANGUAGE_MODEL, config)
        t5 = find_named(config.conditioners[TEXT].t5.name, "t5", folder)
        check_t5(t5)
        model = build_language_model(config, t5, dtype)
        model.load_state_dict(weights)
        for part in (model.emb, model.out_norm, model.linears):  # which the library leaves in float32
            part.to(dtype)
        codec, frame, named = _load_codec(folder)
        codec = import_audiocraft().builders.get_wrapped_compression_model(codec, config)
        seconds = float(config.dataset.segment_duration)
    check_fit(
        folder,
        (
            ("number of codebooks of the codec", codec.num_codebooks, model.num_codebooks),
            ("number of codes of the codec", codec.cardinality, model.card),
        ),
    )
    _move(model, device)
    codec.to(device).eval().requires_grad_(False)
    hashes = [sha256_folder(folder, [LANGUAGE_MODEL, CODEC]), *map(weights_hash, [t5, *named])]
    return AudiocraftParts(model, codec, frame, seconds, sha256_text(canonical_json(hashes)))


def build_language_model(config: Any, t5: Path, dtype: torch.dtype) -> Any:
    """Return the `LMModel` of a configuration with random weights; torch's random stream stays where it is.

    Parameters
    ----------
    config
        An `omegaconf.DictConfig`, which is changed.
    t5
        Folder of the text encoder.
    dtype
        Numeric type of the transformer.
    """
    library = import_audiocraft()
    config.device, config.dtype = "cpu", str(dtype).removeprefix("torch.")
    config.conditioners[TEXT].t5.name = str(t5)
    for *parents, last in _OUTDATED:
        place = config
        for parent in parents:
            place = place.get(parent) or {}
        place.pop(last, None)
    with (
        known_t5(library.text_conditioner, t5, "MODELS", "MODELS_DIMS"),
        _no_separation(),
        attention(),
        torch.random.fork_rng(devices=[]),
    ):
        model = library.builders.get_lm_model(config)
    melody = model.condition_provider.conditioners
    if MELODY in melody:
        melody[MELODY].match_len_on_eval = True
        melody[MELODY]._use_masking = False
        # no source separation, see `_no_separation`
        melody[MELODY]._get_stemmed_wav = lambda wave, rate: wave
    return model.eval().requires_grad_(False)


def _read(path: Path) -> tuple[Any, Mapping[str, torch.Tensor]]:
    """Return configuration and weights of a checkpoint."""
    package = read_torch_file(path, "MusicGen of audiocraft")
    return import_audiocraft().create_config(package["xp.cfg"]), package["best_state"]


def _check_config(path: Path, config: Any) -> None:
    """Refuse models that are no MusicGen, or one of a kind that is not published."""
    conditions = {name: part.get("model") for name, part in config.conditioners.items() if name != "args"}
    if TEXT not in conditions:
        raise InputError(f"{path}: expected a condition {TEXT!r}, got {', '.join(conditions) or 'none'}")
    pattern = config.codebooks_pattern
    count = config.transformer_lm.n_q
    stereo = bool(config.get("interleave_stereo_codebooks", {}).get("use", False))
    wanted = DelayPattern(count, 1 + stereo, 1).delays.tolist()
    delays = pattern.get("delay", {})
    for what, found, expected in (
        ("lm_model", config.lm_model, "transformer_lm"),
        ("conditions", conditions, {name: _KINDS[name] for name in conditions if name in _KINDS}),
        ("normalize_text", bool(config.conditioners[TEXT].t5.get("normalize_text", False)), False),
        ("codebooks_pattern", pattern.modeling, "delay"),
        ("delays", list(delays.get("delays") or range(count)), wanted),
        ("flatten_first", delays.get("flatten_first", 0), 0),
        ("empty_initial", delays.get("empty_initial", 0), 0),
    ):
        if found != expected:
            raise InputError(f"{path}: expected {expected!r} as {what}, got {found!r}")


def _load_codec(folder: Path) -> tuple[Any, Fraction, list[Path]]:
    """Return the codec, its samples a frame, and the folders of what its checkpoint only names."""
    library = import_audiocraft()
    package = read_torch_file(folder / CODEC, "codec of a MusicGen of audiocraft")
    if "pretrained" in package:
        from transformers import EncodecModel

        place = find_named(package["pretrained"], "encodec", folder)
        codec = load_whole(EncodecModel, place)
        return library.encodec(codec), Fraction(prod(codec.config.upsampling_ratios)), [place]
    config, weights = _read(folder / CODEC)
    config.device = "cpu"
    with torch.random.fork_rng(devices=[]):
        codec = library.builders.get_compression_model(config)
    codec.load_state_dict(weights)
    return codec, Fraction(codec.encoder.hop_length), []


def _move(model: Any, device: torch.device) -> None:
    """Move a language model with all that its conditioners keep outside of what torch knows of them."""
    model.to(device)
    provider = model.condition_provider
    provider.device = device
    for conditioner in provider.conditioners.values():
        conditioner.device = device
    provider.conditioners[TEXT].t5.to(device).eval().requires_grad_(False)


def _no_separation() -> Any:
    """While it lasts, a melody conditioner can be built without demucs and without downloading its weights.

    The melody is that of the whole recording then, as transformers has it; the authors' code removes drums and bass.
    """

    class Nothing:
        sources = ("drums", "bass", "other", "vocals")

        def to(self, device: Any) -> "Nothing":
            return self

    pretrained = module("demucs.pretrained", get_model=lambda name: Nothing())
    return stand_ins(
        {"demucs": module("demucs", path=[], pretrained=pretrained), "demucs.pretrained": pretrained}
    )
