"""Commands of `experiments.analyses`."""

import sys

import experiments.analyses
from music.subcommands import Command, dispatch

COMMANDS = {
    "arena": Command("experiments.analyses.arena:Arena", "what decides a vote: musicality or alignment"),
    "windows": Command(
        "experiments.analyses.windows:Windows", "how much of a clip has to be heard", shares=True
    ),
    "leaderboard": Command(
        "experiments.analyses.leaderboard:Leaderboard", "rank generators by a reward", shares=True
    ),
    "anchors": Command("experiments.analyses.anchors:Anchors", "what a few votes on a new generator repair"),
    "mirex": Command("experiments.analyses.mirex:Mirex", "answer MIREX 2026, track B", shares=True),
}


def main(argv: list[str]) -> None:
    """Run the command that the first word names."""
    dispatch("python -m experiments.analyses", experiments.analyses.__doc__ or "", COMMANDS, argv)


if __name__ == "__main__":
    main(sys.argv[1:])
