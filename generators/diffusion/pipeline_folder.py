"""Folders in the format of diffusers: what a pipeline of a kind consists of, and loading its parts.

A folder has a `model_index.json`, which names the class of the pipeline and of each part, and a folder a part.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from generators.shared.quiet_loading import quiet_loading
from generators.shared.texts import NO_LIMIT
from music.errors import InputError
from music.files import read_object
from music.hashing import sha256_folder
from music.library_repairs import repair_torchaudio
from music.optional_libraries import OptionalLibraries, install_extra

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
        The model, for messages.
    classes
        For each part that decides the audio its class, tokenizers excepted; or classes, separated by ``|``.
    tokenizers
        Parts that are tokenizers, of any class.
    """

    pipeline: str
    title: str
    classes: Mapping[str, str]
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

    def check(self, folder: Path) -> None:
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
        return sha256_folder(folder, self.files)

    @contextmanager
    def loading(self, folder: Path) -> Iterator[None]:
        """Check the index, import and load quietly, and turn what libraries raise into one line for the user."""
        self.check(folder)
        repair_torchaudio()
        from safetensors import SafetensorError

        try:
            with quiet_loading():
                yield
        except InputError:
            raise
        except (OSError, ValueError, RuntimeError, TypeError, SafetensorError) as error:
            reason = " ".join(str(error).split())[:300]
            raise InputError(f"{folder} cannot be loaded as {self.title}: {reason}") from error


def load_model(kind: Any, folder: Path, part: str) -> Any:
    """Load a part in float32, and refuse it if a weight is missing: it would be a random one."""
    from transformers import PreTrainedModel

    number = "dtype" if issubclass(kind, PreTrainedModel) else "torch_dtype"
    options = {number: torch.float32, "subfolder": part, "local_files_only": True, "use_safetensors": True}
    model, report = kind.from_pretrained(folder, output_loading_info=True, **options)
    if report["missing_keys"]:
        names = sorted(report["missing_keys"])
        raise InputError(f"{folder / part}: {len(names)} weights are missing, the first is {names[0]}")
    return model


def load_tokenizer(folder: Path, part: str = "tokenizer") -> Any:
    """Load a tokenizer of any class."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder / part, local_files_only=True)


def load_scheduler(kind: Any, folder: Path) -> Any:
    """Load a scheduler."""
    return kind.from_pretrained(folder, subfolder="scheduler", local_files_only=True)


def freeze(models: Sequence[Any], device: torch.device) -> None:
    """Move models to a device, in evaluation mode and without gradients."""
    for model in models:
        model.to(device).eval().requires_grad_(False)


def check_fit(folder: Path, expectations: Sequence[tuple[str, Any, Any]]) -> None:
    """Refuse parts that do not fit together: each expectation is a name, what was found, what others need."""
    for what, found, expected in expectations:
        if found != expected:
            raise InputError(f"{folder}: {what} is {found}, but the parts beside it need {expected}")


def check_channels(folder: Path, channels: int) -> None:
    """`InputError` unless the audio is mono or stereo."""
    if channels not in (1, 2):
        raise InputError(f"{folder}: expected 1 or 2 audio channels, got {channels}")


def check_longest_text(folder: Path, tokenizer: Any, part: str = "tokenizer") -> None:
    """`InputError` if a tokenizer does not say how long a text may be."""
    if tokenizer.model_max_length > NO_LIMIT:
        raise InputError(f"{folder / part} does not say how long a text may be (model_max_length)")


def download(hub_id: str, format_of: Callable[[Path], PipelineFormat]) -> Path:
    """Return the folder of a pipeline on the hub.

    Parameters
    ----------
    hub_id
        The repository.
    format_of
        From a folder with an index to the format that it announces; for a kind of pipeline that it refuses, nothing
        else is downloaded.
    """
    from huggingface_hub import snapshot_download

    found = Path(snapshot_download(hub_id, allow_patterns=[INDEX]))
    if not (found / INDEX).is_file():
        raise InputError(
            f"{hub_id} is not in the format of diffusers, it has no {INDEX}: leave --backend out if it is of another "
            "library, or convert it with the script in diffusers' repository and give the folder"
        )
    kind = format_of(found)
    return Path(snapshot_download(hub_id, allow_patterns=list(kind.files)))
