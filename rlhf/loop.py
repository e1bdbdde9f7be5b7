"""Teach a reward what people say of a generator's clips, round by round.

    python -m rlhf.loop --held_out lab-held-out --judges experiments.lab.gold:Gold --output runs/loop

A reward that has learned from other music errs on what a generator makes, and best of n and post-training look for its
errors. Each round of the loop (`rlhf.asking.rounds`):

1. scores the candidates of the prompts (``OUT/pool``, made once by the generator) by the present reward;
2. chooses `budget` pairs to ask about (`rlhf.asking.acquisition`); those of held-out prompts are drawn at random;
3. asks: simulated raters, who answer at once (`rlhf.asking.raters`), or people in a listening test, for whom the run
   ends with the commands to run and goes on when their answers are there (`rlhf.asking.studies`);
4. lets the reward learn from the answers of all rounds and a share of older rows, over frozen towers: its heads go on
   from where they were (`rlhf.asking.learning`), or the last layer is solved alone (`reward.training.last_layer`);
5. measures (`rlhf.asking.measuring`): agreement with answers about held-out prompts, with older preferences that are
   held out (what is forgotten), and with judges on the candidates of other prompts, among it what they say of the
   reward's best of n;
6. with `policy`, lets the generator learn from the new reward (`rlhf.asking.policy`): the next round asks about its
   clips, and judges say what has become of it. ``OUT/policy`` is the last.

``OUT/reward`` is the last reward, for every command that takes one (``--reward OUT/reward``). Beside it lie
``log.jsonl``, a row for the first reward and one for that of each round; ``report.html``, which shows them side by
side; ``rounds/``, ``run.json`` and ``embeddings/``: the towers are frozen, so they hear each clip once, for the scores
and the training of every round (`reward.training.stored_frames`). A killed run resumes where it was, and ends with the
same weights; with more `rounds` a finished one goes on.
"""

from pathlib import Path
from typing import Any

from generators import load_generator
from generators.filling import refuse_prompts
from generators.registry import given_sampling
from music.command import run
from music.devices import find_device
from music.distributed.same_inputs import meet
from music.durable import claim_work, write_text
from music.errors import InputError
from music.hashing import sha256_file
from music.jsonl import dump_line
from music.options import Sampling, read_options
from music.prompts import Prompt, load_prompts, prompts_record
from music.provenance import write_run_record
from reward import RewardWeights, load_scorer
from reward.scoring.candidates import load_scorers, refuse_unscorable
from reward.training.stored_frames import FrameFolder
from rlhf.asking.clips import Clipmaker
from rlhf.asking.learning import REWARD, Replay, learns_by_last_layer, start
from rlhf.asking.measuring import HeldOut
from rlhf.asking.options import SIMULATED, RewardLoop
from rlhf.asking.policy import Policy, model_of, training
from rlhf.asking.report import write_report
from rlhf.asking.rounds import Rounds, log_of
from rlhf.asking.schedule import Schedule
from rlhf.learners import learner_of
from rlhf.options import MEANS

LOG = "log.jsonl"


def main(options: RewardLoop) -> None:
    """Run the loop, or what of it is not done."""
    with meet(options, options.output, alone=True) as processes:
        if processes.world_size > 1:
            raise InputError("the loop runs in one process: start it without a launcher")
        prompts = load_prompts(options.prompts, options.limit)
        held_out = load_prompts(options.held_out) if options.held_out else []
        _refuse_shared(options, prompts, held_out)
        schedule = Schedule(options, [prompt.id for prompt in prompts])
        source = start(options)
        if len(schedule.learned_of) < 2 and learns_by_last_layer(options, source) and not options.replay:
            raise InputError(
                f"of {len(prompts)} prompts the last layer would learn of one alone: add prompts, or give --learn heads"
            )
        (scorer, *judges), reward = load_scorers(options, options.judges)
        refuse_unscorable([scorer], prompts)
        refuse_unscorable([scorer, *judges], held_out)
        rater_judge = None
        if options.raters == SIMULATED:
            rater_judge = load_scorer(options.rater_judge, options.device, options.dtype)
            refuse_unscorable([rater_judge], prompts)
        replay = None
        if options.replay is not None:
            replay = Replay(options.replay, options.validation, options.seed, options.frames)
        sampling = given_sampling(options, Sampling)
        generator = load_generator(options.generator, device=options.device, dtype=options.dtype, **sampling)
        refuse_prompts(generator, [*prompts, *held_out], options.seconds)
        facts = {
            "prompts": prompts_record(options.prompts, prompts),
            "held_out": prompts_record(options.held_out, held_out) if options.held_out else None,
            "spec": dict(generator.spec),
            "reward_hash": scorer.hash,
            "judges": {judge.name: judge.hash for judge in judges},
            "rater_judge": rater_judge.hash if rater_judge else None,
            "replay": sha256_file(options.replay) if options.replay else None,
        }
        if options.policy:  # refuse what cannot learn
            learning = training(options, options.reward, 0)
            learner_of(learning, generator, find_device(options.device), processes)
        claim_work(options.output, **facts, options=_deciding(options, reward))
        maker = Clipmaker(options, generator, prompts, rater_judge, processes)

        def heard(place: Path, model: Path | None = None) -> HeldOut:
            """Return what measures on the clips of the generator, or of a model that came of it."""
            pool, n, seed = place / "held_out/pool", options.held_out_n, options.seed_of_clips
            return HeldOut(
                *maker.made(pool, held_out, n, seed, model), judges, reward, processes, options.seed
            )

        maker.of_round(0)
        measured = heard(options.output) if held_out else None
        policy = None
        if options.policy:
            policy = Policy(
                options, measured, lambda index: heard(options.place(index), model_of(options, index))
            )
        with FrameFolder(options.frames) as frames:
            rounds = Rounds(
                options,
                maker.of_round,
                schedule,
                source,
                scorer,
                reward,
                replay,
                measured,
                policy,
                frames,
                processes,
            )
            waits = rounds.run()
        rows = log_of(options)
        write_text(options.output / LOG, "".join(map(dump_line, rows)))
        write_report(options.output / "report.html", rows, options)
        write_run_record(options.output, options, **facts)
        print(waits if waits else f"{options.output / REWARD} is the last reward")


def _refuse_shared(options: RewardLoop, prompts: list[Prompt], held_out: list[Prompt]) -> None:
    known = {prompt.text for prompt in prompts}
    if shared := [prompt.id for prompt in held_out if prompt.text in known]:
        raise InputError(f"--held_out {options.held_out}: prompt {shared[0]!r} is one of --prompts")


def _deciding(options: RewardLoop, reward: RewardWeights) -> dict[str, Any]:
    """Return the options that decide what is learned or measured, but for how many rounds there are."""
    free = {"output", "device", "rounds", "embeddings"}
    told_by_facts = {"prompts", "held_out", "generator", "reward", "judges", "rater_judge", "replay"}
    found = {name: value for name, value in vars(options).items() if name not in free | told_by_facts}
    policy = read_options(options.policy)
    found["policy"] = {name: value for name, value in policy.items() if name not in MEANS}
    return found | {"weights": options.weights or reward.name}


if __name__ == "__main__":
    run(main, RewardLoop)
