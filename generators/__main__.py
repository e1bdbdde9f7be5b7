"""Commands of `generators`."""

import sys

import generators
from music.subcommands import Command, dispatch

COMMANDS = {
    "list": Command("generators.catalogue:ListGenerators", "print the generators that are known by name"),
    "sample": Command("generators.sample_clip:SampleClip", "let a generator make one clip"),
}


def main(argv: list[str]) -> None:
    """Run the command that the first word names."""
    dispatch("python -m generators", generators.__doc__ or "", COMMANDS, argv)


if __name__ == "__main__":
    main(sys.argv[1:])
