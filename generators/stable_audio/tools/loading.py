"""Find and load a model in the format of stable-audio-tools, and refuse early what could not generate.

Such a folder holds a ``model_config.json`` and the weights; the text encoder is only named there (see
`generators.shared.model_folder`).
"""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from generators.shared.model_folder import download_index, find_named
from generators.shared.model_loading import CHECKPOINT_ERRORS, check_t5, known_t5, loading, without_weights_of
from generators.stable_audio.tools.conditioning import START, TEXT, TOTAL
from generators.stable_audio.tools.library import import_stability
from generators.stable_audio.tools.samplers import SAMPLERS
from music.errors import InputError
from music.files import read_object
from music.hashing import canonical_json, sha256_folder, sha256_text
from music.paths import is_file
from music.shapes import WEIGHTLESS, for_shapes
from music.torch_files import read_torch_tensors

CONFIG = "model_config.json"
_WEIGHTS = ("model.safetensors", "model.ckpt")  # the first that is there


def download_stability(hub_id: str) -> Path:
    """Return the folder of a model on the hub; of a kind that we cannot run only the configuration is downloaded."""
    from huggingface_hub import snapshot_download

    cure = "leave --backend out, or name the library that can"
    read_config(download_index(hub_id, CONFIG, "stable-audio-tools", cure))
    for weights in _WEIGHTS:
        folder = Path(snapshot_download(hub_id, allow_patterns=[CONFIG, weights]))
        if is_file(folder / weights):
            break
    return folder


def read_config(folder: Path) -> dict[str, Any]:
    """Return the configuration in a folder: `InputError` unless it is that of a model that we can run."""
    path = folder / CONFIG
    config = read_object(path)
    try:
        model = config["model"]
        autoencoder = model["pretransform"]["config"]
        decoder = autoencoder["decoder"]
        conditions = {part["id"]: part["type"] for part in model["conditioning"]["configs"]}
        found: list[tuple[str, Any, Sequence[Any]]] = [
            ("model_type", config["model_type"], ("diffusion_cond",)),
            ("kind of transformer", model["diffusion"]["type"], ("dit",)),
            ("diffusion_objective", model["diffusion"].get("diffusion_objective", "v"), tuple(SAMPLERS)),
            ("pretransform", model["pretransform"]["type"], ("autoencoder",)),
            ("decoder", decoder["type"], ("oobleck",)),
            ("use_nearest_upsample", decoder["config"].get("use_nearest_upsample", False), (False,)),
            ("antialias_activation", decoder["config"].get("antialias_activation", False), (False,)),
            ("bottleneck", autoencoder["bottleneck"]["type"], ("vae",)),
            (f"condition {TEXT!r}", conditions.pop(TEXT, None), ("t5",)),
            (f"condition {TOTAL!r}", conditions.pop(TOTAL, None), ("number",)),
            (f"condition {START!r}", conditions.pop(START, "number"), ("number",)),
            ("further conditions", sorted(conditions), ([],)),
            ("audio channels", config["audio_channels"], (1, 2)),
            ("distribution_shift_options", model["diffusion"].get("distribution_shift_options"), (None,)),
        ]
        _ = config["sample_size"], config["sample_rate"], decoder["config"]["strides"]  # needed later
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} cannot be read as a model of stable-audio-tools: {error!r}") from error
    for what, value, expected in found:
        if value not in expected:
            wanted = " or ".join(map(repr, expected))
            raise InputError(f"{path}: expected {wanted} as {what}, got {value!r}")
    return config


def text_encoder_of(folder: Path, config: Mapping[str, Any]) -> Path:
    """Return the folder of the T5 that a configuration names; see `generators.shared.model_folder.find_named`."""
    return find_named(_text_options(config).get("t5_model_name", "t5-base"), "t5", folder)


def model_hash(folder: Path, text_hash: str) -> str:
    """Return one SHA-256 over what decides what a model computes.

    Parameters
    ----------
    folder
        Folder with configuration and weights.
    text_hash
        SHA-256 of its text encoder.
    """
    if for_shapes():
        return WEIGHTLESS
    return sha256_text(canonical_json([sha256_folder(folder, [CONFIG, _weights(folder).name]), text_hash]))


def load_stability(
    folder: Path, config: Mapping[str, Any], text_encoder: Path, device: torch.device, dtype: torch.dtype
) -> Any:
    """Load a model.

    Parameters
    ----------
    folder
        Folder with the weights.
    config
        What `read_config` gave.
    text_encoder
        Folder of its T5, which computes in float16, as in training.
    device
        Device that it is moved to.
    dtype
        Numeric type of the transformer within the diffusion transformer, which does nearly all the work; all else
        stays in float32.

    Returns
    -------
    Any
        A `ConditionedDiffusionModelWrapper` in evaluation mode.

    Raises
    ------
    InputError
        If the folder does not hold the whole model that its configuration describes.
    """
    with loading(folder, "Stable Audio", CHECKPOINT_ERRORS):
        check_t5(text_encoder)
        if for_shapes():
            from transformers import T5EncoderModel

            with without_weights_of(T5EncoderModel):
                model = create_model(config, text_encoder)
        else:
            weights = _weights(folder)
            model = create_model(config, text_encoder)
            model.load_state_dict(_read_weights(weights))
    model.pretransform.model_half = False
    model.float().to(device).eval().requires_grad_(False)
    if dtype != torch.float32:
        compute_in(model.model.model.transformer, dtype)
    return model


def create_model(config: Mapping[str, Any], text_encoder: Path) -> Any:
    """Return the model of a configuration with random weights; torch's random stream stays where it is."""
    library = import_stability()
    own = copy.deepcopy(dict(config))
    _text_options(own)["t5_model_name"] = str(text_encoder)
    with (
        known_t5(library.text_conditioner, text_encoder, "T5_MODELS", "T5_MODEL_DIMS"),
        torch.random.fork_rng(devices=[]),
    ):
        return library.create_model(own)


def compute_in(transformer: Any, dtype: torch.dtype) -> None:
    """Let a `ContinuousTransformer` compute in another numeric type, between inputs and outputs in float32.

    The angles of the rotary positions stay exact: they are rounded where they are applied.
    """
    rotary = transformer.rotary_pos_emb
    angles = rotary and rotary.inv_freq
    transformer.to(dtype)
    if rotary:
        rotary.inv_freq = angles

    def enter(
        module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return tuple(map(rounded, args)), {name: rounded(value) for name, value in kwargs.items()}

    def rounded(value: Any) -> Any:
        floats = isinstance(value, torch.Tensor) and value.is_floating_point()
        return value.to(dtype) if floats else value

    transformer.register_forward_pre_hook(enter, with_kwargs=True)
    transformer.register_forward_hook(lambda module, args, output: output.float())


def _weights(folder: Path) -> Path:
    for name in _WEIGHTS:
        if is_file(folder / name):
            return folder / name
    raise InputError(f"{folder} holds no weights: expected {' or '.join(_WEIGHTS)}")


def _read_weights(path: Path) -> Mapping[str, torch.Tensor]:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    return read_torch_tensors(path, "Stable Audio", "state_dict")


def _text_options(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of the text conditioner within a configuration."""
    return next(p["config"] for p in config["model"]["conditioning"]["configs"] if p["id"] == TEXT)
