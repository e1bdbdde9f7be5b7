"""Post-train a generator: it learns to make what the reward likes.

    accelerate launch rlhf/train.py --algorithm expert_iteration --output runs/expert_iteration
    accelerate launch rlhf/train.py --algorithm grpo --generator facebook/musicgen-small --reward HaiwenXia/CMI-RM \
        --prompts google/MusicCaps:train --seconds 10 --output runs/grpo
    torchrun --nproc-per-node 2 -- rlhf/train.py --algorithm dpo ...          (several processes on CPUs)

`expert_iteration`, `dpo` and `nft` go in rounds, in ``OUT/rounds/0``, ``1``, ...; each begins with the model that the
round before has left:

1. generate: n candidates a prompt into a pool (`generators.candidates`);
2. score: the reward model's scores beside it (`reward.score_pool`);
3. learn: from the best of each prompt (`expert_iteration`), or the best against the worst (`dpo`), of the codes in the
   pool, or from all of them by how good they are (`nft`): `rlhf.musicgen_offline`, `rlhf.stable_audio_learning`; a
   low-rank update, merged into the weights afterwards.

`grpo` and `rloo` make and judge their clips as they learn (`rlhf.musicgen_online`), `n` for a prompt in each step.

``OUT/model`` is the trained generator, for every command that takes one (``--generator OUT/model``). Beside it lie
``log.jsonl`` (a row a step), ``curves.png``, ``samples`` (the same prompts and noise before and after),
``robustness.md`` (how far the reward moves where the music does not, written before anything is learned) and
``run.json``. A killed run goes on where it was, and ends with the same weights.
"""

from typing import Any

import numpy as np
import torch

from generators import Generator, Job, Sample, fill_pool, load_generator
from generators.musicgen import MusicGen
from generators.stable_audio import StableAudio
from music.command import run
from music.devices import find_device
from music.durable import make_folder, write_text
from music.errors import InputError
from music.finished_folder import claim_work
from music.hashing import candidate_seed
from music.jsonl import dump_line, read_jsonl
from music.pool import Pool
from music.processes import Processes
from music.prompts import Prompt, load_prompts, prompts_record
from music.provenance import write_run_record
from reward import Reward, Scorer, load_scorer
from rlhf.choosing import Judged
from rlhf.clip_reward import ClipReward
from rlhf.curves import draw_curves
from rlhf.guards import Guarded
from rlhf.musicgen_learner import MusicgenLearner
from rlhf.options import LOG, ONLINE, PostTraining
from rlhf.robustness import ROBUSTNESS, robustness, write_robustness
from rlhf.stable_audio_learner import StableAudioLearner
from scaling.judging import score_candidates

MODEL = "model"


def main(options: PostTraining) -> None:
    """Train; every process of a parallel run calls it."""
    from accelerate import Accelerator

    device = find_device(options.device)
    Accelerator(cpu=device.type == "cpu")  # whose processes those of TRL's trainers are
    processes = Processes()
    prompts = load_prompts(options.prompts, options.limit)
    reward = Reward.parse(options.weights)
    judge = load_scorer(options.reward, options.device, options.dtype)
    scorer = Guarded(judge, options.level, options.silence_cost)
    reward.check(tuple(scorer.metrics))
    generator = _load(options, options.generator)
    learner = _learner(options, generator, device, processes)
    make_folder(options.output)
    facts = {"prompts": prompts_record(options.prompts, prompts), "reward_hash": scorer.hash}
    facts |= {"spec": dict(generator.spec)}
    if processes.is_main:
        claim_work(options.output, **facts, options=_deciding(options))
    processes.barrier()
    clip_reward = ClipReward(scorer, reward)
    before = _samples(options, generator, "before", prompts, processes)
    if processes.is_main and not (options.output / ROBUSTNESS).exists():
        write_robustness(options.output, robustness(clip_reward, before), len(before))
    if not (options.output / MODEL).exists():
        if isinstance(learner, MusicgenLearner) and options.algorithm in ONLINE:
            work = options.output / "training"
            learner.explore(learner.start, prompts, clip_reward, work, options.output / MODEL)
        else:
            _rounds(options, generator, learner, prompts, scorer, reward, processes)
    trained = _load(options, str(options.output / MODEL))
    _samples(options, trained, "after", prompts, processes)
    if processes.is_main:
        rows = _log(options)
        write_text(options.output / LOG, "".join(map(dump_line, rows)))
        draw_curves(rows, options.output / "curves.png")
        write_run_record(options.output, options, **facts)
        print(f"{options.output / MODEL} is the trained generator")
    processes.close()


Learner = MusicgenLearner | StableAudioLearner


def _learner(
    options: PostTraining, generator: Generator, device: torch.device, processes: Processes
) -> Learner:
    """Return what trains a generator; `InputError` if nothing does, or not by this algorithm."""
    found: Learner | None = None
    if isinstance(generator, MusicGen) and "reference" not in generator.accepts:
        found = MusicgenLearner(options, generator, device, processes)
    elif isinstance(generator, StableAudio):
        found = StableAudioLearner(options, generator, device, processes)
    if found is None:
        raise InputError(
            f"{options.generator} cannot be trained: expected a MusicGen of transformers without melody, or a "
            "Stable Audio Open of diffusers"
        )
    if options.algorithm not in found.algorithms:
        raise InputError(
            f"{options.generator} learns by {', '.join(found.algorithms)}, not {options.algorithm}"
        )
    return found


def _samples(
    options: PostTraining, generator: Generator, moment: str, prompts: list[Prompt], processes: Processes
) -> list[Sample]:
    """Return a clip of the first prompts, which stay for people to hear."""
    pool = Pool(options.output / "samples" / moment, create=True)
    chosen = prompts[: options.samples]
    fill_pool(generator, chosen, 1, options.seconds, pool, options.seed, processes)
    return [
        Sample(Job(prompt, one.candidate, one.seed), pool.clip(one), None)
        for prompt, (one,) in zip(chosen, pool.candidates_of(chosen, 1), strict=True)
    ]


def _rounds(
    options: PostTraining,
    generator: Generator,
    learner: Learner,
    prompts: list[Prompt],
    scorer: Scorer,
    reward: Reward,
    processes: Processes,
) -> None:
    """Generate, score and learn, round by round; what is done is not done again."""
    source = learner.start
    for index in range(options.rounds):
        place = options.output / "rounds" / f"{index}"
        target = options.output / MODEL if index + 1 == options.rounds else place / MODEL
        if not target.exists():
            sampler = generator if index == 0 else _load(options, str(source))
            pool = Pool(place / "pool", create=True)
            seed = candidate_seed(options.seed, "round", index)
            fill_pool(sampler, prompts, options.n, options.seconds, pool, seed, processes)
            candidates = pool.candidates_of(prompts, options.n)
            metrics = score_candidates([scorer], pool, candidates, processes)
            rewards = np.asarray(sum(weight * metrics[name] for name, weight in reward.weights.items()))
            judged = Judged(candidates, rewards)
            if processes.is_main:
                write_text(place / "pool.json", dump_line({"round": index, "pool": judged.spread()}))
            if not judged.best_and_worst():
                raise InputError(
                    f"{place}: all clips of each prompt have the same reward: nothing to learn from"
                )
            learner.learn(source, pool, judged, place / "training", target)
        source = target


def _log(options: PostTraining) -> list[dict[str, Any]]:
    """Return what was logged, of all rounds; steps are counted from the first."""
    if options.algorithm in ONLINE:
        return [row for _, row in read_jsonl(options.output / "training" / LOG)]
    rows: list[dict[str, Any]] = []
    for index in range(options.rounds):
        place = options.output / "rounds" / f"{index}"
        rows += [row for _, row in read_jsonl(place / "pool.json")]
        for _, row in read_jsonl(place / "training" / LOG):
            rows.append({"round": index, **row, "step": row["step"] + index * options.steps})
    return rows


def _load(options: PostTraining, name: str) -> Generator:
    sampling = {"guidance": options.guidance, "temperature": options.temperature}
    sampling["steps"] = options.sampling_steps
    given: dict[str, Any] = {option: value for option, value in sampling.items() if value is not None}
    return load_generator(name, device=options.device, dtype=options.dtype, **given)


def _deciding(options: PostTraining) -> dict[str, Any]:
    """Return the options that decide what is learned."""
    free = ("output", "device", "samples", "save_every", "tracker", "prompts", "generator", "reward")
    return {name: value for name, value in vars(options).items() if name not in free}


if __name__ == "__main__":
    run(main, PostTraining)
