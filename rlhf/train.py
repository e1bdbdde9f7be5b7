"""Post-train a generator: it learns to make what the reward likes.

    accelerate launch rlhf/train.py --algorithm expert_iteration --output runs/expert_iteration

Training goes in rounds, in ``OUT/rounds/0``, ``1``, ...; each begins with the model that the round before has left
(`rlhf.rounds`). A round of `expert_iteration`, `dpo` or `nft`:

1. generate: n candidates a prompt into a pool (`generators.filling`);
2. score: the reward model's scores beside it (`reward.scoring.pool`);
3. learn: from the best of each prompt (`expert_iteration`), or the best against the worst (`dpo`), of the codes in the
   pool, or from all of them by how good they are (`nft`): `rlhf.musicgen.offline`, `rlhf.stable_audio.training`; a
   low-rank update, merged into the weights afterwards.

`grpo` and `rloo` make and judge their clips as they learn (`rlhf.musicgen.online`), `n` for a prompt in each step.

With `--held_out` and `--judges` the model of each round is measured on prompts that it does not learn from
(`rlhf.assess` has the same numbers of any models); where a judge falls while the reward rises, training ends and keeps
the model from before (`rlhf.assessment.watching`). ``OUT/held_out`` has the tables and ``frontier.png``.

``OUT/model`` is the trained generator, for every command that takes one (``--generator OUT/model``). Beside it lie
``log.jsonl`` (a row a step), ``curves.png``, ``samples`` (the same prompts and noise before and after),
``robustness.md`` (how far the reward moves where the music does not, written before anything is learned) and
``run.json``. A killed run resumes where it was, and ends with the same weights; with more `rounds` a finished one goes
on, and ends as if it had begun with so many. Both may have other `MEANS` (`rlhf.options`), such as less memory.
"""

from typing import Any

from generators import Generator, Job, Sample, fill_pool
from generators.filling import refuse_prompts
from music.command import run
from music.devices import find_device
from music.distributed.accelerating import in_force, make_accelerator
from music.distributed.same_inputs import agree_on_prompts, meet
from music.durable import claim_work, write_text
from music.errors import InputError
from music.jsonl import dump_line
from music.optional_libraries import check_tracker
from music.pool import Pool
from music.processes import Processes
from music.prompts import Prompt, load_prompts, prompts_record
from music.provenance import write_run_record
from reward import RewardWeights
from reward.composition import load_composed
from reward.scoring.candidates import refuse_unscorable
from rlhf.assessment.watching import Watch
from rlhf.curves import draw_curves
from rlhf.guarded_reward import ClipReward, Guarded
from rlhf.learners import learner_of
from rlhf.models import load_sampler
from rlhf.options import LOG, MEANS, PostTraining
from rlhf.robustness import ROBUSTNESS, robustness, write_robustness
from rlhf.rounds import MODEL, SAMPLES_AFTER, SAMPLES_BEFORE, Rounds, log_of, rounds_done

_OF_DPO = ("loss", "winner")  # options that no other algorithm looks at
#: options that decide nothing of a round; what a number of rounds has left can go on to more
_FREE = ("output", "device", "samples", "encoders", "real", "rounds", *MEANS)


def main(options: PostTraining) -> None:
    """Train; every process of a parallel run calls it."""
    with meet(options, options.output, alone=True) as processes:
        check_tracker(options.tracker, options.output)
        device = find_device(options.device)
        options.accumulation(processes.world_size)
        prompts = load_prompts(options.prompts, options.limit)
        agree_on_prompts(processes, prompts)
        # whose settings those of TRL's trainers are
        accelerator = make_accelerator(processes, device, options.mixed_precision, takes_fsdp=True)
        judge, reward = load_composed(options)
        scorer = Guarded(judge, options.level, options.silence_cost)
        refuse_unscorable([scorer], prompts)
        watch = Watch(options, prompts, scorer, reward, processes) if options.held_out else None
        generator = load_sampler(options, options.generator)
        refuse_prompts(generator, [*prompts, *(watch.prompts if watch else [])], options.seconds)
        learner = learner_of(options, generator, device, processes)
        if accelerator.distributed_type == "FSDP" and not learner.takes_fsdp:
            raise InputError(f"{options.generator} learns with whole weights in each process: leave FSDP out")
        facts = {"prompts": prompts_record(options.prompts, prompts), "reward_hash": scorer.hash}
        facts |= {"spec": dict(generator.spec), **(watch.facts if watch else {})}
        if processes.is_main:
            deciding = _deciding(options, reward)
            free = _FREE if options.algorithm == "dpo" else (*_FREE, *_OF_DPO)
            claim_work(options.output, no_longer={"options": free}, **facts, options=deciding)
        processes.barrier()
        before = _samples(options, generator, SAMPLES_BEFORE, prompts, processes)
        del generator  # its weights: rounds load their own
        if processes.is_main and not (options.output / ROBUSTNESS).exists():
            write_robustness(options.output, robustness(ClipReward(scorer, reward), before), len(before))
        if rounds_done(options) != options.rounds or not (options.output / MODEL).exists():
            Rounds(options, learner, prompts, scorer, reward, watch, processes).run()
        _samples(options, load_sampler(options, options.output / MODEL), SAMPLES_AFTER, prompts, processes)
        if processes.is_main:
            rows = log_of(options)
            write_text(options.output / LOG, "".join(map(dump_line, rows)))
            draw_curves(rows, options.output / "curves.png")
            stopped = next((row["stopped"] for row in rows if "stopped" in row), None)
            write_run_record(
                options.output, options, **facts, stopped=stopped, accelerate=in_force(accelerator)
            )
            print(f"{options.output / MODEL} is the trained generator")


def _samples(
    options: PostTraining, generator: Generator, place: str, prompts: list[Prompt], processes: Processes
) -> list[Sample]:
    """Return a clip of the first prompts, which stay for people to hear."""
    pool = Pool(options.output / place, create=True)
    chosen = prompts[: options.samples]
    fill_pool(generator, chosen, 1, options.seconds, pool, options.seed, processes)
    return [
        Sample(Job(prompt, one.candidate, one.seed), pool.clip(one), None)
        for prompt, (one,) in zip(chosen, pool.candidates_of(chosen, 1), strict=True)
    ]


def _deciding(options: PostTraining, reward: RewardWeights) -> dict[str, Any]:
    """Return the options that decide what is learned."""
    aside = {"prompts", "generator", "reward", "reward_options", "held_out", "judges"}
    if not options.standardise:
        aside.add("standardise")  # trainings of before it was an option do not name it
    if options.algorithm != "dpo":
        aside.update(_OF_DPO)
    found = {name: value for name, value in vars(options).items() if name not in aside.union(_FREE)}
    return found | {"weights": options.weights or reward.name}


if __name__ == "__main__":
    run(main, PostTraining)
