"""``music-reward``: every command of the project by name.

    music-reward best-of-n --n 10
    music-reward score --reward lab-cmi-rm --pool runs/best_of_n/pool
    music-reward listening-test demo
    music-reward --num_processes 2 best-of-n --n 10

It runs what ``python -m`` runs, in several processes if it is asked to. What the names below stand for is imported when
it is asked for, so that no floor knows the ones above it.
"""

import signal
import sys

from music.closed_pipes import outlive_readers
from music.distributed.launching import OPTION, count_of, start_again
from music.errors import InputError
from music.subcommands import Command, dispatch, find

_ABOUT = f"""Reward, rerank and post-train music generators.
With {OPTION} N before the command, N processes on this machine share its work."""
#: what only tells something about a command
_TELL = {"--help", "-h", "--print_config"}

COMMANDS = {
    "best-of-n": Command(
        "scaling.best_of_n:BestOfN", "make n candidates for every prompt and keep the best", shares=True
    ),
    "search": Command(
        "scaling.search:Search", "spend compute on each prompt better than best of n does", shares=True
    ),
    "evaluate": Command(
        "scaling.evaluate:Evaluate", "measure what best of n brings, on pools that exist", shares=True
    ),
    "plan": Command("scaling.plan:Plan", "say what best of n will cost: FLOP, memory, disk and hours"),
    "browse": Command("scaling.browse:Browse", "listen to the candidates of a pool and mark favourites"),
    "score": Command(
        "reward.score:ScoreConfig", "score clips of a file, or candidates of a pool", shares=True
    ),
    "generators": Command("generators.__main__:COMMANDS", "list generators, or let one make a clip"),
    "benchmark": Command(
        "reward.benchmark.command:Benchmark", "measure a reward model on CMI-RewardBench", shares=True
    ),
    "train-reward": Command(
        "reward.train:TrainConfig", "train a reward model on preferences and ratings", shares=True
    ),
    "train-curves": Command("reward.train_curves:DrawCurves", "draw the curves of such trainings"),
    "embed": Command("reward.embed:Embed", "encode audio and texts ahead of such a training", shares=True),
    "data": Command("reward.data.__main__:COMMANDS", "prepare, check and count preferences and ratings"),
    "judge": Command("reward.judge.command:LabelPairs", "let an audio language model label pairs"),
    "post-train": Command("rlhf.train:PostTraining", "train a generator with a reward", shares=True),
    "loop": Command(
        "rlhf.loop:RewardLoop", "teach a reward what people say of a generator's clips, round by round"
    ),
    "assess": Command(
        "rlhf.assess:Assess",
        "tell trained generators that are better from those that look better",
        shares=True,
    ),
    "listening-test": Command(
        "experiments.ab_test.__main__:COMMANDS", "build, serve and analyse a listening test"
    ),
    "analyses": Command("experiments.analyses.__main__:COMMANDS", "analyse scores and results"),
    "ablations": Command("experiments.ablations.command:Ablate", "try choices of the reward model's recipe"),
    "compare-algorithms": Command(
        "experiments.post_training.command:ComparePostTraining", "compare post-training algorithms on the lab"
    ),
    "compare-acquisitions": Command(
        "experiments.acquisition.command:CompareAcquisitions", "compare ways to choose the pairs of the loop"
    ),
    "compare-searches": Command(
        "experiments.search.command:CompareSearches", "compare methods of search at equal compute on the lab"
    ),
    "previews": Command(
        "experiments.search.previews:MeasurePreviews", "measure what previews say of whole clips, for search"
    ),
    "lab": Command("experiments.lab.__main__:COMMANDS", "train and measure the lab's models"),
    "bench": Command("experiments.benchmarks.__main__:COMMANDS", "measure how fast this machine is"),
}


def main() -> None:
    """Run the command that the first word names, in as many processes as the words before it ask for."""
    try:
        _main()
    except KeyboardInterrupt:  # while the command is still being imported
        print("interrupted", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)


def _main() -> None:
    outlive_readers()
    try:
        count, words = count_of(sys.argv[1:])
        if any(word.partition("=")[0] == OPTION for word in words):
            raise InputError(f"{OPTION} comes once, before the command: music-reward {OPTION} N COMMAND ...")
        if count > 1 and (found := find(COMMANDS, words)) and not _TELL & set(words):
            name, command = found
            if not command.shares:
                raise InputError(f"music-reward {name} runs in one process: leave out {OPTION}")
            sys.exit(start_again(words, count))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    dispatch("music-reward", _ABOUT, COMMANDS, words)


if __name__ == "__main__":
    main()
