"""How a Stable Audio learns, from folder to folder."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from generators.stable_audio.diffusers.loading import load_parts
from music.durable import finished_folder
from music.optional_libraries import OptionalLibraries, install_extra
from music.pool import Pool
from rlhf.choosing import Judged
from rlhf.learners import Learner

# Those of dpo are what the code of TangoFlux (arXiv 2412.21037) computes: it halves its beta of 2000, and adds the
# winner's error with a weight of 1, which is 2 / 1000 of the pull at the start.
_BETA = {"dpo": 1000.0, "nft": 1.0}  # errors of a velocity differ by thousandths
_WINNER = 0.002
_TRANSFORMER = "transformer"  # folder of it in a pipeline


class StableAudioLearner(Learner):
    """Trains Stable Audio models in the format of diffusers; see `rlhf.stable_audio.training`."""

    libraries = OptionalLibraries("post-training of Stable Audio", ("peft",), install_extra("rlhf"))

    def learn(self, source: Path, pool: Pool, judged: Judged, seed: int, work: Path, target: Path) -> None:
        """Learn from the candidates of a pool; see `Learner.learn`."""
        from rlhf.stable_audio.batches import Example
        from rlhf.stable_audio.losses import VelocityLoss
        from rlhf.stable_audio.training import learn

        options = self._options
        if options.algorithm == "nft":
            examples = [
                Example(one.text, pool.tokens(one), optimality=value) for one, value in judged.optimality()
            ]
        else:
            examples = [
                Example(
                    one.best.text,
                    pool.tokens(one.best),
                    pool.tokens(one.worst) if options.algorithm == "dpo" else None,
                )
                for one in judged.best_and_worst()
            ]
        parts = load_parts(source, self._device, torch.float32)
        beta, guidance = options.beta_or(_BETA), self._sampling.guidance
        loss = VelocityLoss(options.algorithm, options.loss, beta, options.winner_or(_WINNER), guidance)
        how = replace(options, seed=seed)
        transformer = learn(parts, examples, options.seconds, how, loss, work, self._processes)
        if self._processes.is_main:
            save_stable_audio(transformer, source, target)
        self._processes.barrier()


def save_stable_audio(transformer: Any, source: Path, folder: Path) -> None:
    """Write a pipeline of diffusers, copied from a folder, with another transformer; it appears whole or not at all."""
    with finished_folder(folder) as part:
        shutil.copytree(source, part, dirs_exist_ok=True, ignore=lambda _, names: {_TRANSFORMER} & set(names))
        transformer.save_pretrained(part / _TRANSFORMER)
