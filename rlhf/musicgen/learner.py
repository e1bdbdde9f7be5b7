"""How a MusicGen learns, from folder to folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from generators import load_generator
from generators.musicgen.generator import MusicGen
from generators.musicgen.loading import load_model
from music.optional_libraries import OptionalLibraries, install_extra
from music.pool import Pool
from music.processes import Processes
from music.prompts import Prompt
from rlhf.choosing import Judged
from rlhf.guarded_reward import ClipReward
from rlhf.models import save_musicgen
from rlhf.musicgen.trl_settings import updated_weights
from rlhf.options import ONLINE, PostTraining

# of dpo and rloo for a whole clip, in nats; of grpo for a code
_BETA = {"dpo": 0.1, "grpo": 0.02, "rloo": 0.001}
LIBRARIES = OptionalLibraries("post-training of MusicGen", ("trl", "peft", "datasets"), install_extra("rlhf"))


class MusicgenLearner:
    """Trains MusicGen models; see `rlhf.musicgen.offline` and `rlhf.musicgen.online`.

    Parameters
    ----------
    options
        Of the run.
    generator
        The model that it begins with.
    device
        Where.
    processes
        Who shares the work.

    Attributes
    ----------
    start
        Folder of that model.

    Raises
    ------
    InputError
        If TRL is not installed.
    """

    algorithms = ("expert_iteration", "dpo", *ONLINE)

    def __init__(
        self, options: PostTraining, generator: MusicGen, device: torch.device, processes: Processes
    ) -> None:
        LIBRARIES.check()
        assert generator.folder is not None
        self._options, self._sampling, self.start = options, generator.options, generator.folder
        self._device, self._processes = device, processes

    def learn(self, source: Path, pool: Pool, judged: Judged, work: Path, target: Path) -> None:
        """Learn from the candidates of a pool.

        Parameters
        ----------
        source
            Folder of the model that made them.
        pool
            Where they are.
        judged
            They and their rewards.
        work
            For checkpoints and log.
        target
            Folder of the model that comes of it.
        """
        from rlhf.musicgen.offline import Preferring, imitate, prefer

        policy, tokenizer = self._policy(source)
        how, chosen = self._options.optimisation(), judged.best_and_worst()
        where = (work, self._device.type, self._processes.world_size)
        if self._options.algorithm == "dpo":
            pairs = [
                (one.best.text, pool.tokens(one.best).long(), pool.tokens(one.worst).long()) for one in chosen
            ]
            preferring = Preferring(self._options.loss, self._options.beta_or(_BETA), self._options.winner)
            trained = prefer(policy, tokenizer, pairs, how, preferring, *where)
        else:
            examples = [(one.best.text, pool.tokens(one.best).long()) for one in chosen]
            trained = imitate(policy, tokenizer, examples, how, *where)
        self._save(trained, source, target)

    def explore(
        self,
        source: Path,
        prompts: Sequence[Prompt],
        clip_reward: ClipReward,
        seed: int,
        work: Path,
        target: Path,
    ) -> None:
        """Learn from clips that are made, with noise of a seed, and judged meanwhile; else as `learn`."""
        from rlhf.musicgen.online import Exploring, explore

        policy, tokenizer = self._policy(source)
        options = self._options
        sampler = load_generator(
            source,
            device=options.device,
            dtype=options.dtype,
            guidance=self._sampling.guidance,
            temperature=self._sampling.temperature,
            top_k=0,
        )
        assert isinstance(sampler, MusicGen)
        exploring = Exploring(options.algorithm, options.n, options.seconds, options.beta_or(_BETA), seed)
        trained = explore(
            policy,
            tokenizer,
            sampler,
            prompts,
            clip_reward,
            options.optimisation(),
            exploring,
            work,
            self._device.type,
            self._processes.world_size,
        )
        self._save(trained, source, target)

    def _policy(self, source: Path) -> tuple[Any, Any]:
        """Return the policy of a model's folder, and the tokenizer."""
        from rlhf.musicgen.policy import MusicgenPolicy

        model, tokenizer = load_model(source, self._device, torch.float32)
        return MusicgenPolicy(model, self._sampling.guidance, self._sampling.temperature), tokenizer

    def _save(self, trained: Any, source: Path, target: Path) -> None:
        weights = updated_weights(
            trained.get_base_model().musicgen.decoder
        )  # all processes may have parts of them
        if self._processes.is_main:
            save_musicgen(weights, source, target)
        self._processes.barrier()
