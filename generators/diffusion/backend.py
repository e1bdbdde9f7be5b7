"""The backend ``diffusers``: find a pipeline, see of which kind it is, and load it with what runs that kind."""

import importlib
from pathlib import Path
from typing import Any

from generators.diffusion.generator import PipelineGenerator
from generators.diffusion.pipeline_folder import INDEX, LIBRARIES
from generators.diffusion.sampling import given_options
from generators.shared.batch_generator import check_batch_size
from generators.shared.model_folder import download_index, locate
from music.devices import find_device, find_dtype
from music.errors import InputError
from music.files import read_object

# class of the pipeline: the generator that runs it
_KINDS = {
    "StableAudioPipeline": "generators.stable_audio.diffusers.generator:StableAudio",
    "StableAudio3Pipeline": "generators.stable_audio.version_3:StableAudio3",
    "AceStepPipeline": "generators.ace_step.generator:AceStep",
    "AudioLDM2Pipeline": "generators.audioldm2.generator:AudioLDM2",
}


def load_diffusers(
    name: str,
    source: str,
    device: str = "auto",
    dtype: str = "float32",
    steps: int | None = None,
    guidance: float | None = None,
    negative_prompt: str | None = None,
    batch_size: int = 4,
) -> PipelineGenerator:
    """Load a pipeline of diffusers.

    Parameters
    ----------
    name, source
        Name of the model, and where it lies; see `generators.shared.model_folder.locate`.
    device, dtype
        Device and numeric type; see `generators.registry.load_generator`.
    steps, guidance, negative_prompt
        Options of `generators.diffusion.sampling.DiffusionOptions`; the defaults are those of the pipeline.
    batch_size
        Clips denoised at once.

    Raises
    ------
    InputError
        If an option is out of range or not for this model, a library is missing, or the model cannot be found or
        loaded.
    """
    given = given_options(steps, guidance, negative_prompt)  # refused before anything is downloaded
    check_batch_size(batch_size)
    place, kind = find_device(device), find_dtype(dtype)
    LIBRARIES.check()
    folder = locate(name, source, INDEX, _download)
    return _kind_of(folder).load(name, folder, place, kind, given, batch_size)


def _download(hub_id: str) -> Path:
    """Return the folder of a pipeline on the hub; of a kind that we cannot run only the index is downloaded."""
    from huggingface_hub import snapshot_download

    cure = (
        "leave --backend out if it is of another library, or convert it with the script in diffusers' repository "
        "and give the folder"
    )
    kind = _kind_of(download_index(hub_id, INDEX, "diffusers", cure))
    return Path(snapshot_download(hub_id, allow_patterns=list(kind.FORMAT.files)))


def _kind_of(folder: Path) -> type[PipelineGenerator]:
    """Return the class of generator that runs the pipeline in a folder."""
    pipeline: Any = read_object(folder / INDEX).get("_class_name")
    if not isinstance(pipeline, str) or pipeline not in _KINDS:
        raise InputError(f"{folder / INDEX}: expected one of {', '.join(_KINDS)}, got {pipeline!r}")
    module, _, name = _KINDS[pipeline].partition(":")
    kind: type[PipelineGenerator] = getattr(importlib.import_module(module), name)
    kind.FORMAT.check_index(folder)
    return kind
