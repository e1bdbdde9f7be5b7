"""How a MusicGen learns, from folder to folder."""

from __future__ import annotations

import gc
import shutil
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from generators import load_generator
from generators.musicgen.generator import MusicGen
from generators.musicgen.loading import load_model
from music.durable import finished_folder
from music.optional_libraries import OptionalLibraries, install_extra
from music.pool import Pool
from music.progress import without_bars_of_transformers
from music.prompts import Prompt
from rlhf.choosing import Judged
from rlhf.guarded_reward import ClipReward
from rlhf.learners import Learner
from rlhf.musicgen.trl_settings import TrlRun, updated_weights

_BETA = {"dpo": 50.0, "grpo": 0.02, "rloo": 0.5}  # of the mean over a clip's codes, nats
_WINNER = 0.1
_WEIGHTS = ("*.safetensors", "*.bin", "*.index.json")


class MusicgenLearner(Learner):
    """Trains MusicGen models; see `rlhf.musicgen.offline` and `rlhf.musicgen.online`."""

    takes_fsdp = True
    libraries = OptionalLibraries(
        "post-training of MusicGen", ("trl", "peft", "datasets"), install_extra("rlhf")
    )

    def learn(self, source: Path, pool: Pool, judged: Judged, seed: int, work: Path, target: Path) -> None:
        """Learn from the candidates of a pool; see `Learner.learn`."""
        from rlhf.musicgen.offline import Preference, imitate, prefer

        options, run = self._options, self._run(source, seed, work)
        if options.algorithm == "dpo":
            pairs = [
                (one.best.text, pool.tokens(one.best).long(), pool.tokens(one.worst).long())
                for one in judged.best_and_worst()
            ]
            trained = prefer(
                run, pairs, Preference(options.loss, options.beta_or(_BETA), options.winner_or(_WINNER))
            )
        else:
            examples = [(one.best.text, pool.tokens(one.best).long()) for one in judged.best_and_worst()]
            trained = imitate(run, examples)
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
        """Learn from clips that are made and judged meanwhile; see `Learner.explore`."""
        from rlhf.musicgen.online import Exploration, explore

        options, run = self._options, self._run(source, seed, work)
        sampler = load_generator(
            source,
            device=options.device,
            dtype=options.dtype,
            guidance=self._sampling.guidance,
            temperature=self._sampling.temperature,
            top_k=0,
        )
        assert isinstance(sampler, MusicGen)
        exploration = Exploration(options.algorithm, options.n, options.seconds, options.beta_or(_BETA), seed)
        trained = explore(run, sampler, prompts, clip_reward, exploration)
        del sampler
        gc.collect()  # trainers hold it in circles, and to save the model takes another copy
        self._save(trained, source, target)

    def _run(self, source: Path, seed: int, work: Path) -> TrlRun:
        from rlhf.musicgen.policy import MusicgenPolicy

        model, tokenizer = load_model(source, self._device, torch.float32)
        policy = MusicgenPolicy(model, self._sampling.guidance, self._sampling.temperature)
        how = replace(self._options, seed=seed)
        return TrlRun(policy, tokenizer, how, work, self._device.type, self._processes)

    def _save(self, trained: Any, source: Path, target: Path) -> None:
        # every process goes through them, as each may have a part of the weights
        weights = updated_weights(trained.get_base_model().musicgen.decoder)
        if self._processes.is_main:
            save_musicgen(weights, source, target)
        else:
            deque(weights, maxlen=0)
        self._processes.barrier()


def save_musicgen(weights: Iterable[tuple[str, torch.Tensor]], source: Path, folder: Path) -> None:
    """Write a MusicGen whose decoder has other weights; the folder appears whole or not at all.

    Parameters
    ----------
    weights
        Weights of the decoder, by name; those not named stay.
    source
        Folder of the model that it began as; tokenizer, configurations and the like are copied.
    folder
        Folder for the model.
    """
    model, _ = load_model(source, torch.device("cpu"), torch.float32)
    with torch.no_grad():
        for name, weight in weights:
            model.decoder.get_parameter(name).copy_(weight)
    with finished_folder(folder) as part, without_bars_of_transformers():
        model.save_pretrained(part)
        weights_files = {path.name for pattern in _WEIGHTS for path in source.glob(pattern)}
        for path in source.iterdir():
            if path.is_file() and path.name not in weights_files:
                shutil.copy(path, part / path.name)
