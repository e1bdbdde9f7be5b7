"""Loading models: quietly, whole or not at all, with one line for the user where it fails."""

import logging
import pickle
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from music.errors import InputError
from music.files import read_object
from music.library_repairs import repair_torchaudio
from music.progress import without_bars_of_transformers
from music.shapes import for_shapes, without_weights

# what reading a damaged checkpoint of torch, or building what its configuration describes, may raise
CHECKPOINT_ERRORS = (EOFError, KeyError, AttributeError, AssertionError, pickle.UnpicklingError)


@contextmanager
def loading(place: Path, title: str, further: Sequence[type[Exception]] = ()) -> Iterator[None]:
    """Keep libraries quiet while they load, and turn what they raise into one line for the user.

    Silent are transformers' warnings and progress bar, and torch's words on how diffusers normalises weights:
    MusicGen's special token lies outside of the vocabulary, as it should, and the bar is over the weights of small
    parts, which take no time. What a checkpoint lacks must be looked for by whoever loads it (`load_whole`).

    Parameters
    ----------
    place
        What is loaded.
    title
        What it should be, for the message.
    further
        Exceptions beside the usual ones that damaged files may cause.

    Raises
    ------
    InputError
        In place of what a library raises.
    """
    repair_torchaudio()
    from safetensors import SafetensorError
    from transformers.utils import logging as transformers_logging

    expected: tuple[type[Exception], ...] = (
        OSError, ValueError, RuntimeError, TypeError, SafetensorError, *further
    )  # fmt: skip
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity(logging.ERROR)
    try:
        with without_bars_of_transformers(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*weight_norm. is deprecated", FutureWarning)
            yield
    except InputError:
        raise
    except expected as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise InputError(f"{place} cannot be loaded as {title}: {reason}") from error
    finally:
        transformers_logging.set_verbosity(verbosity)


def load_whole(kind: Any, folder: Path, **options: Any) -> Any:
    """Load a model of transformers or diffusers, and refuse it if a weight is missing: it would be a random one.

    Where models are loaded for their shapes alone (`music.shapes`), it needs no weights and has none.

    Parameters
    ----------
    kind
        Its class.
    folder
        Folder of the model, or with ``subfolder`` among the options of what it is a part of.
    options
        Further arguments of `from_pretrained`.

    Raises
    ------
    InputError
        If a weight is missing.
    """
    if for_shapes():
        return _shape_of(kind, folder / options.get("subfolder", ""))
    model, report = kind.from_pretrained(folder, local_files_only=True, output_loading_info=True, **options)
    if report["missing_keys"]:
        names, place = sorted(report["missing_keys"]), folder / options.get("subfolder", "")
        raise InputError(f"{place}: {len(names)} weights are missing, the first is {names[0]}")
    return model


@contextmanager
def without_weights_of(kind: Any) -> Iterator[None]:
    """Let nothing in this block have weights, nor what a library loads by the `from_pretrained` of a class."""
    own = kind.from_pretrained
    kind.from_pretrained = lambda place: _shape_of(kind, Path(place))
    try:
        with without_weights():
            yield
    finally:
        kind.from_pretrained = own


def _shape_of(kind: Any, place: Path) -> Any:
    """Return a model without weights, in float32, from the configuration in a folder."""
    with without_weights():
        if hasattr(kind, "config_class"):
            return kind(kind.config_class.from_pretrained(place, local_files_only=True)).eval()
        return kind.from_config(kind.load_config(place, local_files_only=True)).eval()


def check_fit(folder: Path, expectations: Sequence[tuple[str, Any, Any]]) -> None:
    """Refuse parts that do not fit together: each expectation is a name, what was found, what others need."""
    for name, found, expected in expectations:
        if found != expected:
            raise InputError(f"{folder}: {name} is {found}, but the parts beside it need {expected}")


def check_t5(folder: Path) -> None:
    """`InputError` unless a folder holds all weights of a T5's encoder."""
    with loading(folder, "T5"):
        from transformers import T5EncoderModel

        load_whole(T5EncoderModel, folder)


@contextmanager
def known_t5(conditioner: Any, folder: Path, names: str, widths: str) -> Iterator[None]:
    """Let a library's conditioner take a T5 from a folder: it knows a few names on the hub and their widths.

    Parameters
    ----------
    conditioner
        The class.
    folder
        Folder of the T5.
    names, widths
        Its attributes that hold the names that it knows, and their widths.
    """
    own = {names: [str(folder)], widths: {str(folder): read_object(folder / "config.json")["d_model"]}}
    before = {attribute: getattr(conditioner, attribute) for attribute in own}
    for attribute, value in own.items():
        setattr(conditioner, attribute, value)
    try:
        yield
    finally:
        for attribute, value in before.items():
            setattr(conditioner, attribute, value)
