"""What trains a generator: a learner for each class of generators and each algorithm.

A new algorithm, or a new family of generators, is a class with the methods of `Learner` and its lines in `LEARNERS`;
`rlhf.rounds` and `rlhf.train` know no family.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, ClassVar, TypeVar

import torch

from generators import Generator
from music.errors import InputError
from music.optional_libraries import OptionalLibraries
from music.pool import Pool
from music.processes import Processes
from music.prompts import Prompt
from rlhf.choosing import Judged
from rlhf.guarded_reward import ClipReward
from rlhf.options import PostTraining

T = TypeVar("T")
_MUSICGEN = "rlhf.musicgen.learner:MusicgenLearner"
_STABLE_AUDIO = "rlhf.stable_audio.learner:StableAudioLearner"

#: class of generators -> algorithm -> learner
LEARNERS: Mapping[str, Mapping[str, str]] = {
    "generators.musicgen.generator:MusicGen": dict.fromkeys(
        ("expert_iteration", "dpo", "grpo", "rloo"), _MUSICGEN
    ),
    "generators.stable_audio.diffusers.generator:StableAudio": dict.fromkeys(
        ("expert_iteration", "dpo", "nft"), _STABLE_AUDIO
    ),
}


class Learner(ABC):
    """Trains models of a family, from folder to folder.

    Parameters
    ----------
    options
        Options of the run.
    generator
        The model that the run begins with, which has a folder.
    device
        Device that it learns on.
    processes
        Processes that share the work.

    Attributes
    ----------
    start
        Folder of the model that the run begins with.
    takes_fsdp
        Whether processes may share the weights by FSDP.
    libraries
        Libraries that it needs beside those that the project always has.

    Raises
    ------
    InputError
        If one of them is not installed.
    """

    takes_fsdp: ClassVar[bool] = False
    libraries: ClassVar[OptionalLibraries | None] = None

    def __init__(
        self, options: PostTraining, generator: Any, device: torch.device, processes: Processes
    ) -> None:
        if self.libraries is not None:
            self.libraries.check()
        self.start: Path = generator.folder
        self._options, self._sampling = options, generator.options
        self._device, self._processes = device, processes

    @abstractmethod
    def learn(self, source: Path, pool: Pool, judged: Judged, seed: int, work: Path, target: Path) -> None:
        """Learn from the candidates of a pool.

        Parameters
        ----------
        source
            Folder of the model that made them.
        pool
            The pool.
        judged
            Its candidates with their rewards.
        seed
            Seed of the round: of first values, order and noise.
        work
            Folder for checkpoints and log.
        target
            Folder for the trained model.
        """

    def explore(
        self,
        source: Path,
        prompts: Sequence[Prompt],
        clip_reward: ClipReward,
        seed: int,
        work: Path,
        target: Path,
    ) -> None:
        """Learn from clips for prompts that are made meanwhile, with noise of the round's seed, and judged by a reward.

        Only learners of the algorithms in `rlhf.options.ONLINE` have it; the folders are those of `learn`.
        """
        raise NotImplementedError


def of_class(table: Mapping[str, T], generator: Generator) -> T | None:
    """Return what a table by class, ``module:Class``, holds for a generator; None for one that follows references."""
    if "reference" in generator.accepts:
        return None
    return next((found for name, found in table.items() if isinstance(generator, resolve_name(name))), None)


def learner_of(
    options: PostTraining, generator: Generator, device: torch.device, processes: Processes
) -> Learner:
    """Return what trains a generator by the algorithm of a run.

    Raises
    ------
    InputError
        If nothing trains it, or not by this algorithm.
    """
    by_algorithm = of_class(LEARNERS, generator)
    if by_algorithm is None:
        raise InputError(
            f"{options.generator} cannot be trained: expected a MusicGen of transformers without melody, or a "
            "Stable Audio Open of diffusers"
        )
    if options.algorithm not in by_algorithm:
        raise InputError(f"{options.generator} learns by {', '.join(by_algorithm)}, not {options.algorithm}")
    return resolve_name(by_algorithm[options.algorithm])(options, generator, device, processes)
