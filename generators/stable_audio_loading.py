"""Find and load a Stable Audio folder in the format of diffusers, and refuse early what could not generate."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from generators.quiet_loading import quiet_loading
from music.errors import InputError
from music.hashing import sha256_folder
from music.json_files import read_object
from music.torchaudio_repair import repair_torchaudio

INDEX = "model_index.json"
_PIPELINE = "StableAudioPipeline"
_CLASSES = {
    "vae": "AutoencoderOobleck",
    "text_encoder": "T5EncoderModel",
    "projection_model": "StableAudioProjectionModel",
    "transformer": "StableAudioDiTModel",
    "scheduler": "CosineDPMSolverMultistepScheduler",
}
# what decides the audio; a hub repository may hold other forms of the weights beside it
_FILES = (
    INDEX,
    *(f"{part}/*.json" for part in (*_CLASSES, "tokenizer")),
    *(f"tokenizer/*.{suffix}" for suffix in ("model", "txt")),
    *(f"{part}/diffusion_pytorch_model{rest}.safetensors" for part in _CLASSES for rest in ("", "-*")),
    *(f"text_encoder/model{rest}.safetensors" for rest in ("", "-*")),
)
_NO_LIMIT = 1_000_000  # tokens; tokenizers that know no longest text name a larger number


@dataclass(frozen=True, eq=False)
class StableAudioParts:
    """The parts of a Stable Audio pipeline, as diffusers and transformers load them."""

    vae: Any
    text_encoder: Any
    projection_model: Any
    transformer: Any
    scheduler: Any
    tokenizer: Any


def check_extra() -> None:
    """`InputError` if a library that the backend needs is not installed."""
    for library in ("diffusers", "torchsde"):  # diffusers' scheduler does not import without torchsde
        if importlib.util.find_spec(library) is None:
            raise InputError(
                f'backend diffusers needs {library}, which is not installed: pip install -e ".[diffusers]"'
            )


def download_pipeline(hub_id: str) -> Path:
    """Return the folder of a pipeline on the hub; of another kind of model only the index is downloaded."""
    from huggingface_hub import snapshot_download

    check_pipeline(Path(snapshot_download(hub_id, allow_patterns=[INDEX])))
    return Path(snapshot_download(hub_id, allow_patterns=list(_FILES)))


def check_pipeline(folder: Path) -> None:
    """`InputError` unless the ``model_index.json`` in a folder is that of a Stable Audio we can run."""
    path = folder / INDEX
    index = read_object(path)
    if index.get("_class_name") != _PIPELINE:
        raise InputError(f"{path}: expected a {_PIPELINE}, got {index.get('_class_name')!r}")
    for part, expected in _CLASSES.items():
        found = index.get(part)
        name = found[-1] if isinstance(found, list) and found else found
        if name != expected:
            raise InputError(f"{path}: expected {expected} as {part}, got {name!r}")


def pipeline_hash(folder: Path) -> str:
    """Return one SHA-256 over what decides what a pipeline computes: configurations, weights, tokenizer."""
    return sha256_folder(folder, _FILES)


def load_parts(folder: Path, device: torch.device, dtype: torch.dtype) -> StableAudioParts:
    """Load a pipeline.

    Parameters
    ----------
    folder
        As `StableAudioPipeline.save_pretrained` writes it.
    device
        Where to.
    dtype
        Of the blocks of the transformer, which do nearly all the work; all else stays in float32.

    Raises
    ------
    InputError
        If the folder does not hold a whole Stable Audio.
    """
    check_pipeline(folder)
    repair_torchaudio()
    from diffusers import AutoencoderOobleck, CosineDPMSolverMultistepScheduler, StableAudioDiTModel
    from diffusers.pipelines.stable_audio.modeling_stable_audio import StableAudioProjectionModel
    from safetensors import SafetensorError
    from transformers import AutoTokenizer, T5EncoderModel

    try:
        with quiet_loading():
            parts = StableAudioParts(
                vae=_load_model(AutoencoderOobleck, folder, "vae"),
                text_encoder=_load_model(T5EncoderModel, folder, "text_encoder"),
                projection_model=_load_model(StableAudioProjectionModel, folder, "projection_model"),
                transformer=_load_model(StableAudioDiTModel, folder, "transformer"),
                scheduler=CosineDPMSolverMultistepScheduler.from_pretrained(
                    folder, subfolder="scheduler", local_files_only=True
                ),
                tokenizer=AutoTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True),
            )
    except InputError:
        raise
    except (OSError, ValueError, RuntimeError, TypeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"{folder} cannot be loaded as Stable Audio: {reason}") from error
    _check_parts(folder, parts)
    for model in (parts.vae, parts.text_encoder, parts.projection_model, parts.transformer):
        model.to(device).eval().requires_grad_(False)
    parts.transformer.transformer_blocks.to(dtype)
    return parts


def _load_model(kind: Any, folder: Path, part: str) -> Any:
    """Load a part in float32, and refuse it if a weight is missing: it would be a random one."""
    from transformers import PreTrainedModel

    number = "dtype" if issubclass(kind, PreTrainedModel) else "torch_dtype"
    options = {number: torch.float32, "subfolder": part, "local_files_only": True, "use_safetensors": True}
    model, report = kind.from_pretrained(folder, output_loading_info=True, **options)
    if report["missing_keys"]:
        names = sorted(report["missing_keys"])
        raise InputError(f"{folder / part}: {len(names)} weights are missing, the first is {names[0]}")
    return model


def _check_parts(folder: Path, parts: StableAudioParts) -> None:
    """Refuse parts that do not fit together."""
    latent, width = parts.vae.config.decoder_input_channels, parts.projection_model.config.conditioning_dim
    transformer = parts.transformer.config
    for what, found, expected in (
        ("in_channels of the transformer", transformer.in_channels, latent),
        ("out_channels of the transformer", transformer.out_channels, latent),
        ("cross_attention_input_dim of the transformer", transformer.cross_attention_input_dim, width),
        ("global_states_input_dim of the transformer", transformer.global_states_input_dim, 2 * width),
        (
            "text_encoder_dim of the projection",
            parts.projection_model.config.text_encoder_dim,
            parts.text_encoder.config.d_model,
        ),
    ):
        if found != expected:
            raise InputError(f"{folder}: {what} is {found}, but the parts beside it need {expected}")
    if parts.vae.config.audio_channels not in (1, 2):
        raise InputError(f"{folder}: expected 1 or 2 audio channels, got {parts.vae.config.audio_channels}")
    if parts.tokenizer.model_max_length > _NO_LIMIT:
        raise InputError(f"{folder / 'tokenizer'} does not say how long a text may be (model_max_length)")
