"""Scorers from anywhere: anybody's class, function that makes a scorer, or plain function that gives a number."""

import inspect
import numbers
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from music.devices import find_device
from music.errors import InputError, ServiceError
from music.hashing import canonical_json, sha256_file, sha256_folder, sha256_text
from music.memory import is_out_of_memory
from music.paths import is_file, is_folder
from music.plug_ins import find_plug_in, reason_of, staying_here
from music.prompts import Prompt
from reward.plug_in_facts import check_plain, checked_facts
from reward.protocol import Scorer, ScoreRequest

_CHECKPOINT = "checkpoint"


class UnknownOptionError(InputError):
    """A scorer does not take an option, whose name is `option`."""

    def __init__(self, option: str, message: str) -> None:
        super().__init__(message)
        self.option = option


class PlugIn(Scorer):
    """An object with `name`, `metrics`, `hash` and `score` as a scorer, whose failures name file and line.

    Parameters
    ----------
    found
        The object; what it does not say is as in `Scorer`.
    options
        Options that it was made with: part of the hash, as far as JSON holds them.

    Raises
    ------
    InputError
        If it lacks one of the four, or one is of another type.
    """

    def __init__(self, found: Any, options: Mapping[str, Any] | None = None) -> None:
        self._found = found
        for name, value in checked_facts(found).items():
            setattr(self, name, value)
        decides = _deciding(options or {})
        if _says_nothing_of(found, options or {}):
            decides |= _checkpoint_hash(options or {})
        if decides:
            self.hash = sha256_text(canonical_json({"scorer": self.hash, "options": decides}))

    def check_prompt(self, prompt: Prompt) -> None:
        """`InputError` for a prompt that the object refuses, if it says so, or fails for; see `Scorer`."""
        if hasattr(self._found, "check_prompt"):
            self._call(self._found.check_prompt, prompt)

    def score(self, requests: Sequence[ScoreRequest]) -> list[dict[str, float]]:
        """Return what the object gives; see `reward.protocol.Scorer`.

        Raises
        ------
        InputError
            If it fails, whatever it raises, unless memory runs out: that ends the run, which can be resumed.
        """
        return self._call(self._found.score, requests)

    def _call(self, method: Callable[[Any], Any], argument: Any) -> Any:
        try:
            with staying_here():
                return method(argument)
        except (InputError, ServiceError):
            raise
        except (Exception, SystemExit) as error:
            if is_out_of_memory(error):  # no other request fares better
                raise
            raise InputError(f"{self.name} fails: {reason_of(error)}") from error

    def __getattr__(self, name: str) -> Any:
        if name == "_found":  # not there yet, as in a copy that is being made
            raise AttributeError(name)
        return getattr(self._found, name)


def unwrapped(scorer: Scorer) -> Any:
    """Return the object behind a scorer: that of a plug-in, or the scorer itself."""
    return scorer._found if isinstance(scorer, PlugIn) else scorer


class FunctionScorer(Scorer):
    """A function from a file, or from a request, to a number, which is a metric of its name.

    Its hash is that of its source file and its options; what it imports is no part of it.

    Parameters
    ----------
    function
        The function. It is handed a `ScoreRequest` if its parameter is called ``request`` or annotated so, a text if it
        is annotated ``str``, and otherwise a `Path`.
    name
        Name of scorer and metric.
    parameter
        The parameter that is handed over.
    options
        Further arguments.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        name: str,
        parameter: inspect.Parameter,
        options: Mapping[str, Any],
    ) -> None:
        self.name, self.metrics = name, (name,)
        self._function, self._options = function, dict(options)
        annotation = parameter.annotation
        kind = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
        self._kind = "ScoreRequest" if parameter.name == "request" else kind.rpartition(".")[2]
        decides = _deciding(options) | _checkpoint_hash(options)
        facts = {"function": name, "source": _source_hash(function, name), "options": decides}
        self.hash = sha256_text(canonical_json(facts))

    def score(self, requests: Sequence[ScoreRequest]) -> list[dict[str, float]]:
        """Return the number of each request; see `reward.protocol.Scorer`."""
        return [{self.name: self._score(request)} for request in requests]

    def _score(self, request: ScoreRequest) -> float:
        if not isinstance(request.audio, Path):
            raise InputError(f"{self.name} takes files: write the clip to one")
        handed = {"ScoreRequest": request, "str": str(request.audio)}.get(self._kind, request.audio)
        return self._function(handed, **self._options)


def load_plug_in(name: str, device: str, dtype: str, options: Mapping[str, Any]) -> Scorer:
    """Return the scorer behind ``module:Name`` or ``FILE.py:Name``.

    A class is called and makes the scorer, as is a function that needs no more than it is given; a function that needs
    one argument more gives the number of a clip itself. What has `score_batch` in place of `score` is used through
    `reward.baselines.batch_plug_in`.

    Parameters
    ----------
    name
        Name as `music.plug_ins.find_plug_in` takes it.
    device, dtype
        Arguments for what has them in its signature; ``auto`` is told what it is here.
    options
        Further arguments.

    Raises
    ------
    InputError
        If it cannot be found or made, or is no scorer.
    """
    found = find_plug_in(name)
    parameters = _parameters(found, name)
    takes_any = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters)
    offered = {"device": str(find_device(device)), "dtype": dtype}
    given = {key: value for key, value in offered.items() if takes_any or key in {p.name for p in parameters}}
    arguments = {**given, **options}
    subject = None if inspect.isclass(found) else _subject(parameters, arguments, name)
    if subject is not None:
        check_plain(found, name)
        check_options(found, name, options, {subject.name, *given})
        return PlugIn(FunctionScorer(found, name.rpartition(":")[2], subject, arguments))
    check_options(found, name, options, given)
    try:
        with staying_here():
            scorer = found(**arguments)
        if hasattr(scorer, "score_batch") and not hasattr(scorer, "score"):
            from reward.baselines.batch_plug_in import BatchPlugIn

            scorer = BatchPlugIn(scorer, options.get(_CHECKPOINT))
    except (InputError, ServiceError):
        raise
    except (Exception, SystemExit) as error:
        raise InputError(f"{name} cannot be made: {reason_of(error)}") from error
    return PlugIn(scorer, options)


def check_options(
    factory: Callable[..., Any], name: str, options: Mapping[str, Any], given: Collection[str]
) -> None:
    """Check that what makes a scorer takes some options, and needs no others.

    Parameters
    ----------
    factory
        Class or function.
    name
        Its name, for messages.
    options
        Options by name.
    given
        Names of what it is called with beside them.

    Raises
    ------
    UnknownOptionError
        If it does not take one.
    InputError
        If it needs another, or one is no number, or not true or false, where it says that it is.
    """
    parameters = _parameters(factory, name)
    takes_any = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters)
    named = [one for one in parameters if one.kind in _BY_NAME and one.name not in given]
    for option in options:
        if option in given or not (takes_any or option in {one.name for one in named}):
            takes = ", ".join(one.name for one in named) or "none"
            raise UnknownOptionError(option, f"{name} has no option {option!r}: it takes {takes}")
    for one in named:
        what, kind = _KINDS.get(
            str(getattr(one.annotation, "__name__", one.annotation)).removesuffix(" | None"), ("", object)
        )
        value = options.get(one.name)
        fits = value is None or (
            isinstance(value, kind) and isinstance(value, bool) <= (kind in (bool, object))
        )
        if not fits:
            raise InputError(f"the option {one.name!r} of {name} must be {what}, got {value!r}")
        if one.default is one.empty and one.name not in options:
            raise InputError(f"{name} needs the option {one.name!r}: give --reward_options {one.name}=VALUE")


# what options may be that say so; 'maybe' would count as true
_KINDS: dict[str, tuple[str, type]] = {
    "bool": ("true or false", bool),
    "int": ("a whole number", numbers.Integral),
    "float": ("a number", numbers.Real),
}
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def _parameters(factory: Callable[..., Any], name: str) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(factory).parameters.values())
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} cannot be called as a scorer: {error}") from error


def _subject(
    parameters: Sequence[inspect.Parameter], given: Collection[str], name: str
) -> inspect.Parameter | None:
    """Return the one parameter of a plain function that a clip is handed as; None if it is none.

    `InputError` if it needs more, so that the clip is not taken for one of the options that are missing.
    """
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [one for one in parameters if one.kind in positional and one.default is one.empty]
    left = [one for one in needed if one.name not in given]
    if len(left) > 1 and _CHECKPOINT not in {one.name for one in left}:
        raise InputError(
            f"{name} needs {' and '.join(one.name for one in left)}: a clip is handed over as one of them, give the "
            f"rest, as in --reward_options {left[1].name}=VALUE"
        )
    return left[0] if len(left) == 1 and left[0] is parameters[0] and left[0].name != _CHECKPOINT else None


def _deciding(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that are part of a hash; whoever takes a checkpoint hashes what it holds, not its name."""
    found = {}
    for name, value in options.items():
        try:
            canonical_json(value)
        except (TypeError, ValueError):  # an object, which only Python can hand over
            continue
        if name not in ("device", _CHECKPOINT):
            found[name] = value
    return found


def _says_nothing_of(found: Any, options: Mapping[str, Any]) -> bool:
    """Return whether the hash of an object cannot tell checkpoints apart, because its class holds the hash."""
    own = "hash" in getattr(found, "__dict__", {})
    of_class = isinstance(inspect.getattr_static(type(found), "hash", None), str)
    return _CHECKPOINT in options and of_class and not own


def _checkpoint_hash(options: Mapping[str, Any]) -> dict[str, str]:
    """Return the SHA-256 of what the checkpoint of some options holds, or the name of what is no file or folder."""
    place = options.get(_CHECKPOINT)
    if not isinstance(place, str | Path):
        return {}
    if is_folder(place):
        return {_CHECKPOINT: sha256_folder(place)}
    return {_CHECKPOINT: sha256_file(place) if is_file(place) else str(place)}


def _source_hash(function: Callable[..., Any], name: str) -> str:
    try:
        return sha256_file(inspect.getfile(inspect.unwrap(function)))
    except TypeError as error:
        raise InputError(f"{name} has no source file, which its hash is made of: write a function") from error
