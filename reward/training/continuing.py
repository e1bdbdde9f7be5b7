"""A training that goes on from a head that there is: its shape and towers as options of `reward.train`."""

from pathlib import Path
from typing import Any

from music.errors import InputError
from music.shipped_files import asset
from reward.cmi_rm.checkpoint import CONFIG
from reward.cmi_rm.config import CMIRMConfig, read_config
from reward.cmi_rm.locations import SHIPPED, Locator
from reward.training.config import TrainConfig
from reward.training.several_heads import start_of


def continued(folder: Path, **options: Any) -> TrainConfig:
    """Return the options of a training that starts from the CMI-RM in a folder, or from its heads if it has several.

    The saved model names the towers so that it can lie anywhere: by their hub id, or by their absolute path.

    Parameters
    ----------
    folder
        Folder of a CMI-RM, or of an ensemble of them.
    options
        All other options of the training.

    Raises
    ------
    InputError
        If the folder holds no CMI-RM, its towers are not there, or its head has a shape that no option gives.
    """
    place = start_of(folder, 0)
    head = read_config(place / CONFIG)
    towers = (
        Locator()
        .beside(place)
        .folder(head.model_name, ("config.json", "model.safetensors", "pytorch_model.bin"))
    )
    config = TrainConfig(
        **_shape(head),
        towers=str(towers),
        model_name=_portable(head.model_name, towers, place),
        init_from=str(folder),
        **options,
    )
    wanted, found = config.head(head.dim, head.model_name).acting(), head.acting()
    if changed := [name for name in found if found[name] != wanted.get(name)]:
        raise InputError(f"{place} cannot be trained further: no option gives its {', '.join(changed)}")
    return config


def _shape(head: CMIRMConfig) -> dict[str, Any]:
    """Return the options that give a head of this shape; see `TrainConfig.head`."""
    return {
        "attention_mode": head.attention_mode,
        "heads": head.heads,
        "dim_head": head.dim_head,
        "prompt_depth": head.prompt_tf_depth,
        "joint_depth": head.joint_tf_depth,
        "mlp_dim": head.mlp_dim,
        "ff_mult": head.ff_mult,
        "downsample": head.eval_downsampler.kind,
        "downsample_factor": head.eval_downsampler.factor,
        "dropout": head.attn_dropout,
        "text_dropout": head.null_text.dropout,
        "lyrics_dropout": head.null_lyrics.dropout,
        "reference_dropout": head.null_audio.dropout,
        "skip_null": head.skip_null,
        "rating_levels": head.rating_levels,
    }


def _portable(name: str, towers: Path, place: Path) -> str:
    """Return a name of towers that a head in any folder of this machine may have."""
    for shipped, folder in SHIPPED.items():
        if towers.resolve() == asset(folder).resolve():
            return shipped
    found_here = towers == Path(name) or any(towers.is_relative_to(base) for base in (place, place.parent))
    return str(towers.resolve()) if found_here else name
