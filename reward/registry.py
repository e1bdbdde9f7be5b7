"""Scorers by name: shipped and published models, folders, hub ids, and classes from anywhere.

A new scorer needs one line in `SCORERS` or `KINDS`, or none: ``--reward my_package.my_module:MyScorer`` finds a class.
"""

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from music.devices import find_device
from music.errors import InputError
from music.paths import is_folder
from music.shipped_files import asset
from reward.baselines.ensemble import RULES, Ensemble
from reward.baselines.windowed import WINDOWS, Windowed
from reward.protocol import Scorer, as_scorer

# name: (class, where its model lies: "asset:..." ships with the project, "hub:..." is downloaded)
SCORERS = {
    "lab-cmi-rm": ("reward.cmi_rm.scorer:CMIRMScorer", "asset:lab/cmi_rm"),
    "cmi-rm": ("reward.cmi_rm.scorer:CMIRMScorer", "hub:HaiwenXia/CMI-RM"),
}
# kind: (class or function of place, device and dtype; place where none is given, as in "clap:laion/larger_clap_music")
KINDS = {
    "mulan": ("reward.baselines.mulan:mulan_similarity", "OpenMuQ/MuQ-MuLan-large"),
    "mulan-reference": ("reward.baselines.mulan:mulan_reference_similarity", "OpenMuQ/MuQ-MuLan-large"),
    "clap": ("reward.baselines.clap:clap_similarity", "laion/clap-htsat-unfused"),
    "audiobox": ("reward.baselines.audiobox:Audiobox", "facebook/audiobox-aesthetics"),
    "pam": ("reward.baselines.pam:Pam", "microsoft/msclap"),
    "songeval": ("reward.baselines.songeval:SongEval", "SongEval"),
    "lyrics": ("reward.baselines.lyrics:LyricsAccuracy", "openai/whisper-large-v3"),
    "llm-judge": ("reward.baselines.llm_judge:llm_judge", ""),
    "constant": ("reward.baselines.sanity:Constant", None),
    "loudness": ("reward.baselines.sanity:Loudness", None),
}
_DEFAULT = "reward.cmi_rm.scorer:CMIRMScorer"  # what folders and hub ids hold


def load_scorer(name: str | Path, device: str = "auto", dtype: str = "float32", **options: Any) -> Scorer:
    """Load a scorer.

    Parameters
    ----------
    name
        A name of `SCORERS` (``lab-cmi-rm``, ``cmi-rm``) or `KINDS`, a folder in the published CMI-RM format, a hub id
        such as ``HaiwenXia/CMI-RM``, or ``module:Class``.
    device
        ``auto``, ``cpu``, ``cuda`` ...; a ``module:Class`` is told what ``auto`` is here.
    dtype
        ``float32`` or ``bfloat16``.
    options
        Further arguments of the scorer's class, such as ``max_seconds``. A ``module:Class`` is called with
        them, and with `device` and `dtype` if its signature has them; one with `score_batch` in place of `score` is
        used through `reward.baselines.batch_plug_in`.

    Raises
    ------
    InputError
        If nothing of that name exists or it cannot be loaded, or a `checkpoint` is given for anything other than a
        ``module:Class``.
    """
    text = str(name)
    kind, _, place = text.partition(":")
    if kind in RULES:
        members = [
            load_scorer(one.strip(), device, dtype, **options) for one in place.split("+") if one.strip()
        ]
        return Ensemble(members, kind)
    if kind in WINDOWS and place:
        return Windowed(load_scorer(place, device, dtype, **options), kind)
    if isinstance(name, str) and ":" in text and kind not in KINDS and not is_folder(name):
        return _call_plug_in(_find_class(text), device, dtype, options)
    if "checkpoint" in options:
        raise InputError(f"--checkpoint is handed to a module:Class, which {text} is not: leave it out")
    if text in SCORERS:
        path, model = SCORERS[text]
        source, _, place = model.partition(":")
        folder = asset(place) if source == "asset" else _from_hub(place)
        return _find_class(path)(folder, name=text, device=device, dtype=dtype, **options)
    if kind in KINDS:
        path, published = KINDS[kind]
        factory = _find_class(path)
        if published is not None:
            return factory(place or published, device=device, dtype=dtype, **options)
        if place:
            raise InputError(f"{kind} has no model: leave {place!r} out")
        return factory()
    if is_folder(name):
        return _find_class(_DEFAULT)(_checkpoint(Path(name)), device=device, dtype=dtype, **options)
    if isinstance(name, str) and text.count("/") == 1 and not text.startswith((".", "/", "~")):
        folder = _checkpoint(_from_hub(text))
        return _find_class(_DEFAULT)(folder, name=text.split("/")[1], device=device, dtype=dtype, **options)
    known = ", ".join((*SCORERS, *KINDS, *RULES, *WINDOWS))
    raise InputError(f"unknown scorer {text!r}: expected {known}, a folder, a hub id or module:Class")


def _find_class(path: str) -> Callable[..., Scorer]:
    module, _, attribute = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ModuleNotFoundError, AttributeError) as error:
        raise InputError(f"cannot find {path}: {error}") from error
    if not callable(found):
        raise InputError(f"{path} is not a class or function that makes a scorer")
    return cast(Callable[..., Scorer], found)


def _call_plug_in(factory: Callable[..., Scorer], device: str, dtype: str, options: dict[str, Any]) -> Scorer:
    accepted = inspect.signature(factory).parameters
    takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in accepted.values())
    offered = {"device": str(find_device(device)), "dtype": dtype}
    given = {key: value for key, value in offered.items() if takes_any or key in accepted}
    try:
        inspect.signature(factory).bind(**given, **options)
    except TypeError as error:
        raise InputError(
            f"{factory} cannot be made with {', '.join({**given, **options})}: {error}"
        ) from error
    scorer = factory(**given, **options)
    if hasattr(scorer, "score_batch") and not hasattr(scorer, "score"):
        from reward.baselines.batch_plug_in import BatchPlugIn

        return BatchPlugIn(scorer, options.get("checkpoint"))
    for attribute in ("name", "metrics", "hash", "score"):
        if not hasattr(scorer, attribute):
            raise InputError(
                f"{factory} is not a scorer: it has no {attribute!r} (see reward.protocol.Scorer)"
            )
    return as_scorer(scorer)


def _checkpoint(folder: Path) -> Path:
    from reward.cmi_rm.checkpoint import CONFIG, WEIGHTS, is_checkpoint

    if not is_checkpoint(folder):
        raise InputError(f"{folder} holds no scorer: expected the files {CONFIG} and {WEIGHTS}")
    return folder


def _from_hub(repository: str) -> Path:
    from reward.cmi_rm.locations import Locator

    return Locator().folder(repository, ("config.yaml", "model.safetensors"))
