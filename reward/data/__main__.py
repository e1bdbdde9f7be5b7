"""The commands of `reward.data`."""

import sys

import reward.data
from music.subcommands import Command, dispatch

COMMANDS = {
    "prepare": Command("reward.data.prepare:Prepare", "write a published set as preferences and ratings"),
    "check": Command("reward.data.check:Check", "find what is missing, judged twice or leaked"),
    "stats": Command("reward.data.stats:Stats", "count rows by modality and label"),
}


def main(argv: list[str]) -> None:
    """Run the command that the first word names."""
    dispatch("python -m reward.data", reward.data.__doc__ or "", COMMANDS, argv)


if __name__ == "__main__":
    main(sys.argv[1:])
