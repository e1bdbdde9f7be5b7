"""The generators of a post-training, which all sample in the same way."""

from pathlib import Path
from typing import Any

from generators import Generator, load_generator


def load_sampler(options: Any, name: str | Path) -> Generator:
    """Load a generator that samples as a command's options say.

    Parameters
    ----------
    options
        With `guidance`, `temperature` and `sampling_steps`, each None for the generator's own default, `dtype` and
        `device`.
    name
        A name, hub id or folder.

    Raises
    ------
    InputError
        If it cannot be loaded, or does not take an option.
    """
    sampling = {"guidance": options.guidance, "temperature": options.temperature}
    sampling["steps"] = options.sampling_steps
    given: dict[str, Any] = {option: value for option, value in sampling.items() if value is not None}
    return load_generator(name, device=options.device, dtype=options.dtype, **given)
