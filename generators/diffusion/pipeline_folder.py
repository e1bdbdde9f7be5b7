"""Folders in the format of diffusers: what a pipeline of a kind consists of, and loading its parts.

A folder has a `model_index.json`, which names the class of the pipeline and of each part, and a folder for each part.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from generators.shared.model_loading import load_whole, loading
from generators.shared.texts import NO_LIMIT
from music.errors import InputError
from music.files import read_object
from music.hashing import sha256_folder
from music.optional_libraries import OptionalLibraries, install_extra
from music.shapes import WEIGHTLESS, for_shapes

# a scheduler of diffusers does not import without torchsde
LIBRARIES = OptionalLibraries("diffusers", ("diffusers", "torchsde"), install_extra("diffusers"))
INDEX = "model_index.json"


@dataclass(frozen=True)
class PipelineFormat:
    """What a pipeline of one kind consists of.

    Attributes
    ----------
    pipeline
        Its class, as the index names it.
    title
        Name of the model, for messages.
    classes
        Class of each part that decides the audio, tokenizers excepted; or classes, separated by ``|``, of which the
        first loads the weights of all.
    worker
        Module that does nearly all the work, and alone computes in the numeric type that is asked for: a part, or
        what lies in it.
    check
        Function that refuses parts, from a folder, that do not fit together.
    tokenizers
        Parts that are tokenizers, of any class.
    """

    pipeline: str
    title: str
    classes: Mapping[str, str]
    worker: str
    check: Callable[[Path, Any], None]
    tokenizers: Sequence[str] = ("tokenizer",)

    @property
    def files(self) -> tuple[str, ...]:
        """Patterns of the files that decide the audio; a repository may hold other forms of the weights beside."""
        weights = ("diffusion_pytorch_model", "model")
        return (
            INDEX,
            *(f"{part}/*.json" for part in (*self.classes, *self.tokenizers)),
            *(f"{part}/*.{suffix}" for part in self.tokenizers for suffix in ("model", "txt")),
            *(
                f"{part}/{name}{rest}.safetensors"
                for part in self.classes
                for name in weights
                for rest in ("", "-*")
            ),
        )

    def check_index(self, folder: Path) -> None:
        """`InputError` unless the index in a folder is that of a pipeline of this kind."""
        path = folder / INDEX
        index = read_object(path)
        if index.get("_class_name") != self.pipeline:
            raise InputError(f"{path}: expected a {self.pipeline}, got {index.get('_class_name')!r}")
        for part, expected in self.classes.items():
            found = index.get(part)
            name = found[-1] if isinstance(found, list) and found else found
            if name not in expected.split("|"):
                raise InputError(f"{path}: expected {expected.replace('|', ' or ')} as {part}, got {name!r}")

    def hash(self, folder: Path) -> str:
        """Return one SHA-256 over what decides what a pipeline computes: configurations, weights, tokenizers."""
        return WEIGHTLESS if for_shapes() else sha256_folder(folder, self.files)

    def worker_of(self, parts: Any) -> torch.nn.Module:
        """Return the module among the parts that does nearly all the work."""
        return attrgetter(self.worker)(parts)

    def load(self, folder: Path, device: torch.device, dtype: torch.dtype) -> Any:
        """Load the parts of a pipeline in evaluation mode, without gradients.

        Parameters
        ----------
        folder
            Folder as the `save_pretrained` of the pipeline writes it.
        device
            Device that models are moved to.
        dtype
            Numeric type of `worker`; all else is in float32.

        Returns
        -------
        Any
            A namespace of the parts by name.

        Raises
        ------
        InputError
            If the folder does not hold a whole pipeline of this kind.
        """
        self.check_index(folder)
        with loading(folder, self.title):
            parts = {part: _load(classes, folder, part) for part, classes in self.classes.items()}
            models = [part for part in parts.values() if isinstance(part, torch.nn.Module)]
            parts |= {part: load_tokenizer(folder / part) for part in self.tokenizers}
        found = SimpleNamespace(**parts)
        self.check(folder, found)
        for model in models:
            model.to(device).eval().requires_grad_(False)
        torch.nn.Module.to(self.worker_of(found), dtype)  # the method of diffusers' own models prints
        return found


def _load(classes: str, folder: Path, part: str) -> Any:
    """Load a scheduler, or a model in float32."""
    import diffusers
    import transformers

    name = classes.split("|")[0]
    if hasattr(diffusers, name):
        kind, number = getattr(diffusers, name), "torch_dtype"
    else:
        kind, number = getattr(transformers, name), "dtype"
    if part == "scheduler":
        return kind.from_pretrained(folder, subfolder=part, local_files_only=True)
    return load_whole(kind, folder, subfolder=part, use_safetensors=True, **{number: torch.float32})


def load_tokenizer(folder: Path) -> Any:
    """Load a tokenizer of any class."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def check_channels(folder: Path, channels: int) -> None:
    """`InputError` unless the audio is mono or stereo."""
    if channels not in (1, 2):
        raise InputError(f"{folder}: expected 1 or 2 audio channels, got {channels}")


def check_longest_text(folder: Path, tokenizer: Any, part: str = "tokenizer") -> None:
    """`InputError` if a tokenizer does not say how long a text may be."""
    if tokenizer.model_max_length > NO_LIMIT:
        raise InputError(f"{folder / part} does not say how long a text may be (model_max_length)")
