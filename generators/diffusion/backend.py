"""The backend ``diffusers``: find a pipeline, see of which kind it is, and load it with what runs that kind."""

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from generators.diffusion.generator import DiffusionGenerator
from generators.diffusion.pipeline_folder import INDEX, LIBRARIES, PipelineFormat, download
from generators.diffusion.sampling import asked_options
from generators.shared.batch_generator import check_batch_size
from generators.shared.model_folder import locate
from music.devices import find_device, find_dtype
from music.errors import InputError
from music.files import read_object

# class of the pipeline: the function that loads it; its module has the FORMAT of the folder
_KINDS = {
    "StableAudioPipeline": "generators.stable_audio.diffusers.generator:load_stable_audio",
    "StableAudio3Pipeline": "generators.stable_audio.version_3:load_stable_audio_3",
    "AceStepPipeline": "generators.ace_step.generator:load_ace_step",
    "AudioLDM2Pipeline": "generators.audioldm2.generator:load_audioldm2",
}


def load_diffusers(
    name: str,
    source: str,
    known: Sequence[str],
    device: str = "auto",
    dtype: str = "float32",
    steps: int | None = None,
    guidance: float | None = None,
    negative_prompt: str | None = None,
    batch_size: int = 4,
) -> DiffusionGenerator:
    """Load a pipeline of diffusers.

    Parameters
    ----------
    name, source, known
        What it is called, where it lies, and what else there is; see `generators.shared.model_folder.locate`.
    device, dtype
        As in `generators.registry.load_generator`.
    steps, guidance, negative_prompt
        As in `generators.diffusion.sampling.DiffusionOptions`; those not given are the defaults of the pipeline.
    batch_size
        Clips denoised at once.

    Raises
    ------
    InputError
        If an option is out of range or not for this model, a library is missing, or the model cannot be found or
        loaded.
    """
    given = asked_options(steps, guidance, negative_prompt)  # refused before anything is downloaded
    check_batch_size(batch_size)
    where, kind = find_device(device), find_dtype(dtype)
    LIBRARIES.check()
    folder = locate(name, source, known, INDEX, lambda hub_id: download(hub_id, _format_of))
    _, load = _kind_of(folder)
    return load(name, folder, where, kind, given, batch_size)


def _format_of(folder: Path) -> PipelineFormat:
    return _kind_of(folder)[0]


def _kind_of(folder: Path) -> tuple[PipelineFormat, Callable[..., DiffusionGenerator]]:
    """Return the format of the pipeline in a folder and the function that loads it."""
    pipeline: Any = read_object(folder / INDEX).get("_class_name")
    if not isinstance(pipeline, str) or pipeline not in _KINDS:
        raise InputError(f"{folder / INDEX}: expected one of {', '.join(_KINDS)}, got {pipeline!r}")
    module, _, function = _KINDS[pipeline].partition(":")
    loader = importlib.import_module(module)
    kind: PipelineFormat = loader.FORMAT
    kind.check(folder)
    return kind, getattr(loader, function)
