"""The systems of a listening test: where the clip of each comes from for a prompt."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from generators.recorded.clip_listing import ClipListing
from music.candidate import Candidate
from music.command import split_names
from music.errors import InputError
from music.hashing import sha256_file
from music.paths import exists, is_folder
from music.pool import Pool
from music.processes import Processes
from music.prompts import Prompt
from reward import RewardWeights, Scorer
from reward.scoring.candidates import score_candidates
from scaling.choose_best import choose_best

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+ -]*")


@dataclass(frozen=True)
class System:
    """One contestant.

    Attributes
    ----------
    name
        Name in the tables; raters never see it.
    folder
        A pool, or any folder of clips with a list (see `generators.recorded.clip_listing`).
    n
        Number of first candidates of the pool of which the reward picks the best; None takes the best clip listed.
    """

    name: str
    folder: Path
    n: int | None

    @property
    def place(self) -> str:
        """Folder, and n, as they were given."""
        return f"{self.folder}:{self.n}" if self.n else str(self.folder)


@dataclass(frozen=True)
class Source:
    """The clip that a system offers for a prompt.

    Attributes
    ----------
    path, sha256
        The file, and the hash of its bytes.
    generator
        What made it, as far as the folder says.
    candidate
        Its index among the clips of the prompt.
    """

    path: Path
    sha256: str
    generator: str
    candidate: int


def parse_systems(text: str) -> list[System]:
    """Read ``NAME=FOLDER`` and ``NAME=POOL:n``, separated by commas.

    Raises
    ------
    InputError
        If there are fewer than two, a name comes twice or is unusable, or a folder does not exist.
    """
    systems: list[System] = []
    for part in split_names(text):
        name, equals, place = (piece.strip() for piece in part.partition("="))
        if not equals or not place or not _NAME.fullmatch(name):
            raise InputError(
                f"system {part!r}: expected NAME=FOLDER or NAME=POOL:n, names of letters and digits"
            )
        folder, colon, number = place.rpartition(":")
        counted = bool(colon) and number.isdecimal() and not exists(place)
        n = int(number) if counted else None
        if n == 0:
            raise InputError(f"system {part!r}: the reward cannot pick from 0 candidates")
        system = System(name, Path(folder if counted else place), n)
        if not is_folder(system.folder):
            raise InputError(f"system {name!r}: {system.folder} is not a folder")
        if any(system.name.lower() == other.name.lower() for other in systems):
            raise InputError(f"system {name!r} comes twice")
        systems.append(system)
    if len(systems) < 2:
        raise InputError(f"a listening test compares two systems or more, got {text!r}")
    return systems


def prompts_of(systems: Sequence[System]) -> list[Prompt]:
    """Return the prompts of the first system that is a pool, in its order; `InputError` if none is."""
    for system in systems:
        if is_folder(system.folder / "specs"):
            pool = Pool(system.folder)
            return list({candidate.prompt_id: pool.prompt(candidate) for candidate in pool}.values())
    raise InputError("none of the systems is a pool, which would hold the prompts: name them with --prompts")


def shared_prompts(
    systems: Sequence[System], prompts: Sequence[Prompt]
) -> tuple[list[Prompt], Mapping[str, set[str]]]:
    """Return the prompts for which all systems have a clip, and by its id what generators have made those clips.

    Raises
    ------
    InputError
        If there is none.
    """
    offers = [_generators(system, prompts) for system in systems]
    common = [prompt for prompt in prompts if all(prompt.id in offer for offer in offers)]
    if not common:
        counts = ", ".join(f"{one.name} has {len(offer)}" for one, offer in zip(systems, offers, strict=True))
        raise InputError(f"no prompt has a clip of every system: of {len(prompts)} prompts {counts}")
    return common, {one.id: set().union(*(offer[one.id] for offer in offers)) for one in common}


def find_sources(
    systems: Sequence[System], prompts: Sequence[Prompt], reward: RewardWeights, scorer: Scorer | None
) -> dict[str, dict[str, Source]]:
    """Return the clip of each system for each prompt: prompt id, then name of the system.

    Parameters
    ----------
    systems
        The contestants.
    prompts
        Prompts for which all of them have a clip.
    reward, scorer
        What picks the best of n; the scorer may be None if no system asks for that. Scores that lie beside the pool
        are used, missing ones are added.

    Raises
    ------
    InputError
        If a file was changed, or cannot be scored.
    """
    offers = [
        _listed(system, prompts) if system.n is None else _picked(system, prompts, reward, scorer)
        for system in systems
    ]
    return {
        prompt.id: {system.name: offer[prompt.id] for system, offer in zip(systems, offers, strict=True)}
        for prompt in prompts
    }


def _generators(system: System, prompts: Iterable[Prompt]) -> dict[str, set[str]]:
    """Return what has made the clips that a system has to offer, by prompt id."""
    if system.n is None:
        listing = ClipListing(system.folder)
        listed = {prompt.id: listing.best_of(prompt) for prompt in prompts}
        return {name: {clip.system} for name, clip in listed.items() if clip}
    rows = _first_candidates(Pool(system.folder), system.n)
    whole = {prompt.id: rows[prompt.id] for prompt in prompts if len(rows.get(prompt.id, {})) == system.n}
    return {name: {one.generator for one in found.values()} for name, found in whole.items()}


def _first_candidates(pool: Pool, n: int) -> dict[str, dict[int, Candidate]]:
    rows: dict[str, dict[int, Candidate]] = {}
    for candidate in pool:
        if candidate.candidate < n:
            rows.setdefault(candidate.prompt_id, {})[candidate.candidate] = candidate
    return rows


def _listed(system: System, prompts: Iterable[Prompt]) -> dict[str, Source]:
    listing = ClipListing(system.folder)
    found = {}
    for prompt in prompts:
        clip = listing.best_of(prompt)
        assert clip is not None  # of a prompt that all systems share
        path = system.folder / clip.file_name
        found[prompt.id] = Source(path, sha256_file(path), clip.system, clip.candidate or 0)
    return found


def _picked(
    system: System, prompts: Iterable[Prompt], reward: RewardWeights, scorer: Scorer | None
) -> dict[str, Source]:
    pool, n = Pool(system.folder), system.n or 1
    rows, wanted = _first_candidates(pool, n), [prompt.id for prompt in prompts]
    chosen = {name: 0 for name in wanted} if n == 1 else _best(pool, rows, wanted, reward, scorer)
    found = {}
    for name in wanted:
        candidate = rows[name][chosen[name]]
        pool.verify([candidate])
        found[name] = Source(pool.path(candidate), candidate.sha256, candidate.generator, candidate.candidate)
    return found


def _best(
    pool: Pool,
    rows: Mapping[str, Mapping[int, Candidate]],
    wanted: Sequence[str],
    reward: RewardWeights,
    scorer: Scorer | None,
) -> dict[str, int]:
    """Return which candidate of each wanted prompt the reward picks."""
    if scorer is None:
        raise InputError("the best of several candidates needs a --reward")
    if not wanted:
        return {}
    candidates = [[rows[name][index] for index in range(len(rows[name]))] for name in wanted]
    rewards = reward(score_candidates([scorer], pool, candidates, Processes()))
    return dict(zip(wanted, map(int, choose_best(rewards)), strict=True))
