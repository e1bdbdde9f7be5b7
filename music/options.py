"""Options that several commands share: each is a frozen dataclass of options that a command inherits."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from music.errors import InputError
from music.texts import parse_json


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """What models run on.

    Attributes
    ----------
    dtype
        Numeric type of the models.
    device
        Device of the models: auto, cpu, cuda, cuda:1 ...; auto is the GPU if there is one.
    """

    dtype: Literal["float32", "bfloat16"] = "float32"
    device: str = "auto"


@dataclass(frozen=True, kw_only=True)
class Rewarding:
    """What the reward is.

    Attributes
    ----------
    reward
        Reward model: a name (lab-cmi-rm), hub id (HaiwenXia/CMI-RM), folder, or a class or function of your own,
        module:NAME or FILE.py:NAME; several with commas between give the metrics of all.
    weights
        Weights of its metrics in the reward, such as musicality=0.5,alignment=0.5; a bare name has weight 1, and
        SCORER.metric names that of one of several. By default half musicality and half alignment of a CMI-RM, and
        the metric of a scorer that has only one.
    reward_options
        Further arguments of what makes the reward model, such as max_seconds=10,mode=fast; JSON is taken too, and for
        one of several scorers by its name: {"FILE.py:NAME": {"mode": "fast"}}.
    """

    reward: str = "lab-cmi-rm"
    reward_options: str | dict[str, Any] = ""
    weights: str = ""


@dataclass(frozen=True, kw_only=True)
class Judging(Rewarding):
    """What judges beside the reward.

    Attributes
    ----------
    judges
        Further scorers, separated by commas: they are measured, and have no part in the reward.
    """

    judges: str = ""


@dataclass(frozen=True, kw_only=True)
class Standardising:
    """On what scale the metrics of the reward are weighed.

    Attributes
    ----------
    standardise
        Whether each metric of the reward becomes a z-score within its pool, by mean and standard deviation over all
        candidates that the run scores, before it is weighed. Several scorers without weights get equal shares then.
    """

    standardise: bool = False


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How a generator samples; what is not given is the model's own default.

    Attributes
    ----------
    guidance
        Scale of classifier-free guidance.
    temperature
        Temperature of a model that samples tokens.
    sampling_steps
        Denoising steps of a diffusion or flow model.
    """

    guidance: float | None = None
    temperature: float | None = None
    sampling_steps: int | None = None


@dataclass(frozen=True, kw_only=True)
class Generation(Sampling):
    """How clips are generated; what is not given is the model's own default.

    Attributes
    ----------
    backend
        Library that runs the generator, where there is a choice.
    negative_prompt
        Text that guidance leads a diffusion model away from.
    top_k
        Number of the likeliest tokens that are sampled among.
    continuation
        Seconds of a prompt's reference that MusicGen goes on from; the clip begins with them.
    batch_size
        Number of candidates that are generated side by side; part of what decides their last bits.
    ignore_unsupported
        Whether to go on without lyrics and references where the generator does not look at them; scorers still do.
    """

    RENAMED: ClassVar = {"steps": "sampling_steps"}

    backend: str | None = None
    negative_prompt: str | None = None
    top_k: int | None = None
    continuation: float | None = None
    batch_size: int | None = None
    ignore_unsupported: bool = False


_SHOWN = 60  # letters of options in a message


def read_options(given: str | Mapping[str, Any], names: Collection[str] = ()) -> dict[str, Any]:
    """Return options by name.

    Parameters
    ----------
    given
        ``NAME=VALUE,NAME=VALUE``, where a value that is JSON, such as 0.5 or true, is read as that, and any other is a
        text; or a JSON object; or the options themselves.
    names
        What an option may be called besides a name of Python's.

    Raises
    ------
    InputError
        If it is none of these.
    """
    if not isinstance(given, str):
        return dict(given)
    found: dict[str, Any] = {}
    if given.lstrip().startswith("{"):
        try:
            found = parse_json(given, _finite)
        except ValueError as error:
            raise InputError(f"options {given[:_SHOWN]!r} are no JSON object: {error}") from error
    else:
        for part in filter(None, map(str.strip, given.split(","))):
            name, equals, value = (piece.strip() for piece in part.partition("="))
            if not equals or name in found:
                raise InputError(f"options {given!r}: expected NAME=VALUE with each name once, got {part!r}")
            found[name] = _value(value)
    for name in found:
        if not name.isidentifier() and name not in names:
            raise InputError(f"options {given!r}: {name!r} is no name of an option")
    return found


def _value(text: str) -> Any:
    try:
        return parse_json(text, _finite)
    except ValueError:
        return text


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text} is no number of JSON")
    return number
