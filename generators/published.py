"""Generators without weights, to count what they would do: from a folder's configurations, or of a published size.

They are those of `generators.registry.load_generator` in all else, on torch's `meta` device, and run within
`music.shapes.Shapes` alone. Of a published model whose sizes stand here nothing need be downloaded.
"""

from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from generators.protocol import Generator
from generators.registry import NAMES, load_generator
from generators.shared.batch_generator import BatchGenerator
from music.errors import InputError
from music.hub import UnreachableHubError
from music.paths import is_folder
from music.shapes import for_shapes

_MUSICGEN = "generators.musicgen.sizes:shape_of_musicgen"
# published model: what builds it without weights
SIZES = {
    **{name: _MUSICGEN for name in NAMES if name.startswith("facebook/musicgen-")},
    "stabilityai/stable-audio-open-1.0": "generators.stable_audio.diffusers.sizes:shape_of_stable_audio",
}


def load_shape(
    name: str | Path, backend: str | None = None, dtype: str = "float32", **sampling: Any
) -> BatchGenerator:
    """Load a generator without weights.

    Parameters
    ----------
    name, backend, dtype, sampling
        As for `generators.registry.load_generator`; of a folder only configurations and tokenizers are read.

    Raises
    ------
    InputError
        If it cannot be found, its sizes are not known, or it makes nothing by itself.
    """
    assert for_shapes()
    generator: Generator
    if str(name) in SIZES and backend is None and not is_folder(name):
        given = {"steps" if key == "sampling_steps" else key: value for key, value in sampling.items()}
        try:
            generator = resolve_name(SIZES[str(name)])(str(name), dtype, **given)
        except TypeError as error:
            raise InputError(f"{name} does not take such options: {error}") from error
    else:
        try:
            generator = load_generator(name, backend, "meta", dtype, **sampling)
        except UnreachableHubError as error:
            raise InputError(
                f"the sizes of {name} are not known here, and its configuration cannot be downloaded: give a folder "
                f"with its configurations and tokenizers, or a model of known size ({', '.join(SIZES)})"
            ) from error
    if not isinstance(generator, BatchGenerator):
        raise InputError(f"{name} runs no model: there is nothing to count")
    return generator
