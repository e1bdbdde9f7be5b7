"""How a Stable Audio learns, from folder to folder."""

from __future__ import annotations

from pathlib import Path

import torch

from generators.stable_audio.diffusers.generator import StableAudio
from generators.stable_audio.diffusers.loading import load_parts
from music.pool import Pool
from music.processes import Processes
from rlhf.choosing import Judged
from rlhf.models import save_stable_audio
from rlhf.options import PostTraining

# of dpo as TangoFlux (arXiv 2412.21037) has it: errors of a velocity differ by thousandths
_BETA = {"dpo": 2000.0, "nft": 1.0}


class StableAudioLearner:
    """Trains Stable Audio models in the format of diffusers; see `rlhf.stable_audio.training`.

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
    """

    algorithms = ("expert_iteration", "dpo", "nft")

    def __init__(
        self, options: PostTraining, generator: StableAudio, device: torch.device, processes: Processes
    ) -> None:
        assert generator.folder is not None
        self._options, self.start = options, generator.folder
        self._guidance = generator.options.guidance
        self._device, self._processes = device, processes

    def learn(self, source: Path, pool: Pool, judged: Judged, work: Path, target: Path) -> None:
        """Learn from the candidates of a pool; see `rlhf.musicgen.learner.MusicgenLearner.learn`."""
        from rlhf.stable_audio.training import Example, Objective, learn

        options = self._options
        if options.algorithm == "nft":
            examples = [Example(one.text, pool.tokens(one), good=good) for one, good in judged.optimality()]
        elif options.algorithm == "dpo":
            examples = [
                Example(one.best.text, pool.tokens(one.best), pool.tokens(one.worst))
                for one in judged.best_and_worst()
            ]
        else:
            examples = [Example(one.best.text, pool.tokens(one.best)) for one in judged.best_and_worst()]
        parts = load_parts(source, self._device, torch.float32)
        beta = options.beta_or(_BETA)
        objective = Objective(options.algorithm, options.loss, beta, options.winner, self._guidance)
        how = options.optimisation()
        transformer = learn(parts, examples, options.seconds, how, objective, work, self._processes)
        if self._processes.is_main:
            save_stable_audio(transformer, source, target)
        self._processes.barrier()
