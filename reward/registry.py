"""Scorers by name: shipped and published models, folders, hub ids, and classes from anywhere.

A new scorer needs one line in `SCORERS` or `KINDS`, or none: ``--reward my_package.my_module:MyScorer`` finds a class,
and ``my_file.py:my_function`` a function.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from music.command import split_names
from music.errors import InputError
from music.options import read_options
from music.paths import is_folder
from music.plug_ins import EXPECTED
from music.shipped_files import asset
from reward.baselines.ensemble import RULES, Ensemble
from reward.baselines.side_by_side import SideBySide
from reward.baselines.windowed import WINDOWS, Windowed
from reward.plug_ins import UnknownOptionError, check_options, load_plug_in
from reward.protocol import Scorer

# name: (class, where its model lies: "asset:..." ships with the project, "hub:..." is downloaded)
SCORERS = {
    "lab-cmi-rm": ("reward.cmi_rm.scorer:CMIRMScorer", "asset:lab/cmi_rm"),
    "lab-cmi-rm-played": ("reward.cmi_rm.scorer:CMIRMScorer", "asset:lab/played/cmi_rm"),
    "cmi-rm": ("reward.cmi_rm.scorer:CMIRMScorer", "hub:HaiwenXia/CMI-RM"),
}
# kind: (class or function of place, device and dtype; place where none is given, as in "clap:laion/larger_clap_music")
KINDS = {
    "ensemble": ("reward.cmi_rm.ensemble:HeadEnsemble", ""),
    "mulan": ("reward.baselines.mulan:mulan_similarity", "OpenMuQ/MuQ-MuLan-large"),
    "mulan-reference": ("reward.baselines.mulan:mulan_reference_similarity", "OpenMuQ/MuQ-MuLan-large"),
    "clap": ("reward.baselines.clap:clap_similarity", "laion/clap-htsat-unfused"),
    "audiobox": ("reward.baselines.audiobox:Audiobox", "facebook/audiobox-aesthetics"),
    "pam": ("reward.baselines.pam:Pam", "microsoft/msclap"),
    "songeval": ("reward.baselines.songeval:SongEval", "SongEval"),
    "muq-eval": ("reward.baselines.muq_eval:MuQEval", "zhudi2825/MuQ-Eval-A1"),
    "tunejury": ("reward.baselines.tunejury:TuneJury", "TuneJury/tunejury"),
    "lyrics": ("reward.baselines.lyrics:LyricsAccuracy", "openai/whisper-large-v3"),
    "llm-judge": ("reward.baselines.llm_judge:llm_judge", ""),
    "constant": ("reward.baselines.sanity:Constant", None),
    "loudness": ("reward.baselines.sanity:Loudness", None),
}
_DEFAULT = "reward.cmi_rm.scorer:CMIRMScorer"  # what folders and hub ids hold


def load_scorer(name: str | Path, /, device: str = "auto", dtype: str = "float32", **options: Any) -> Scorer:
    """Load a scorer.

    Parameters
    ----------
    name
        A name of `SCORERS` (``lab-cmi-rm``, ``cmi-rm``) or `KINDS`, a folder in the published CMI-RM format, a hub id
        such as ``HaiwenXia/CMI-RM``, or ``module:Name`` or ``FILE.py:Name`` (`reward.plug_ins`); or several of them
        with commas between, which give the metrics of all.
    device
        ``auto``, ``cpu``, ``cuda`` ...; a plug-in is told what ``auto`` is here.
    dtype
        ``float32`` or ``bfloat16``.
    options
        Further arguments of what makes the scorer, such as ``max_seconds``. Where commas name several, each gets those
        that it takes.

    Raises
    ------
    InputError
        If nothing of that name exists, it cannot be loaded, or it does not take an option.
    """
    text = str(name)
    kind, _, place = text.partition(":")
    folder = Path(name) if is_folder(name) else None
    if folder is None and len(names := split_names(text)) > 1:
        return SideBySide(_load_each(names, device, dtype, options))
    if kind in RULES:
        members = [
            load_scorer(one.strip(), device, dtype, **options) for one in place.split("+") if one.strip()
        ]
        return Ensemble(members, kind)
    if kind in WINDOWS and place:
        return Windowed(load_scorer(place, device, dtype, **options), kind)
    if folder is None and ":" in text and kind not in KINDS:
        return load_plug_in(text, device, dtype, options)
    if folder is None and text.endswith(".py"):
        raise InputError(f"name the class or function in {text}: {text}:NAME")
    if "checkpoint" in options:
        raise UnknownOptionError(
            "checkpoint", f"--checkpoint is handed to a module:Class, which {text} is not: leave it out"
        )
    runtime = {"device": device, "dtype": dtype}
    if text in SCORERS:
        path, model = SCORERS[text]
        source, _, place = model.partition(":")
        return _make(
            path,
            text,
            options,
            lambda: asset(place) if source == "asset" else _from_hub(place),
            name=text,
            **runtime,
        )
    if kind in KINDS:
        path, published = KINDS[kind]
        if published is not None:
            return _make(path, text, options, lambda: place or published, **runtime)
        if place:
            raise InputError(f"{kind} has no model: leave {place!r} out")
        return _make(path, text, options)
    if folder is not None:
        return _make(_DEFAULT, text, options, lambda: _checkpoint(folder), **runtime)
    if text.count("/") == 1 and not text.startswith((".", "/", "~")):
        last = text.split("/")[1]
        return _make(_DEFAULT, text, options, lambda: _checkpoint(_from_hub(text)), name=last, **runtime)
    known = ", ".join((*SCORERS, *KINDS, *RULES, *WINDOWS))
    raise InputError(f"unknown scorer {text!r}: expected {known}, a folder, a hub id, {EXPECTED}")


def model_folder(name: str) -> Path:
    """Return the folder of the CMI-RM, or of the ensemble of them, that a name of `load_scorer` stands for.

    Raises
    ------
    InputError
        If it stands for another kind of scorer, or cannot be found.
    """
    kind, _, place = name.partition(":")
    if is_folder(name):
        return Path(name)
    if len(split_names(name)) > 1:
        raise InputError(
            f"--reward {name} are several scorers, and only one is trained further: name it alone"
        )
    if kind == "ensemble" and place:
        return Path(place)
    if name in SCORERS:
        source, _, place = SCORERS[name][1].partition(":")
        return asset(place) if source == "asset" else _from_hub(place)
    if name.count("/") == 1 and ":" not in name and not name.startswith((".", "/", "~")):
        return _from_hub(name)
    raise InputError(
        f"--reward {name} is no CMI-RM, and nothing else can be trained further: expected {', '.join(SCORERS)}, "
        "a folder, a hub id or ensemble:FOLDER"
    )


def load_reward(options: Any) -> Scorer:
    """Load the reward model of a command, from its `reward`, `reward_options`, `checkpoint`, `device` and `dtype`.

    Raises
    ------
    InputError
        As `load_scorer` does, or if the options of the reward cannot be read.
    """
    names = [options.reward] if is_folder(options.reward) else split_names(options.reward)
    own = read_options(options.reward_options, names)
    by_name = {name: own.pop(name) for name in names if isinstance(own.get(name), Mapping)}
    for given in (own, *by_name.values()):
        if taken := [name for name in ("device", "dtype") if name in given]:
            raise InputError(f"--reward_options cannot hold {taken[0]!r}: give --{taken[0]} instead")
    if by_name and own:
        raise InputError(
            f"--reward_options {next(iter(own))!r}: expected a JSON object for each scorer by its name, which are "
            f"{', '.join(names)}"
        )
    checkpoint = getattr(options, "checkpoint", None)
    runtime = options.device, options.dtype
    if not by_name:
        own |= {} if checkpoint is None else {"checkpoint": checkpoint}
        return load_scorer(options.reward, *runtime, **own)
    if checkpoint is not None:
        raise InputError(
            "--checkpoint is for one scorer: give it within --reward_options, by the name of its scorer"
        )
    loaded = [load_scorer(name, *runtime, **by_name.get(name, {})) for name in names]
    return SideBySide(loaded) if len(loaded) > 1 else loaded[0]


def _make(
    path: str,
    text: str,
    options: Mapping[str, Any],
    place: Callable[[], str | Path] | None = None,
    **given: Any,
) -> Scorer:
    """Call a class or function of ours with the place of a model, which is looked for after the options are checked."""
    factory: Callable[..., Scorer] = resolve_name(path)
    of_place = list(inspect.signature(factory).parameters)[:1] if place else []
    check_options(factory, text, options, {*given, *of_place})
    found = () if place is None else (place(),)
    try:
        return factory(*found, **given, **options)
    except (TypeError, ValueError) as error:
        if isinstance(error, InputError) or not options:
            raise
        raise InputError(f"{text} cannot be made with {dict(options)}: {error}") from error


def _load_each(names: Sequence[str], device: str, dtype: str, options: Mapping[str, Any]) -> list[Scorer]:
    """Load several scorers, each with the options that it takes; `UnknownOptionError` for one that none takes."""
    loaded: list[Scorer] = []
    refused: dict[str, list[UnknownOptionError]] = {option: [] for option in options}
    for name in names:
        own = dict(options)
        while True:
            try:
                loaded.append(load_scorer(name, device, dtype, **own))
                break
            except UnknownOptionError as error:
                refused[error.option].append(error)
                del own[error.option]
    for errors in refused.values():
        if len(errors) == len(names):
            raise errors[0]
    return loaded


def _checkpoint(folder: Path) -> Path:
    from reward.cmi_rm.checkpoint import CONFIG, WEIGHTS, checkpoints_in, is_checkpoint

    if not is_checkpoint(folder):
        if len(checkpoints_in(folder)) > 1:
            raise InputError(f"{folder} holds several heads: give ensemble:{folder}, or one of its folders")
        raise InputError(f"{folder} holds no scorer: expected the files {CONFIG} and {WEIGHTS}")
    return folder


def _from_hub(repository: str) -> Path:
    from reward.cmi_rm.locations import Locator

    return Locator().folder(repository, ("config.yaml", "model.safetensors"))
