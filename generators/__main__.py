"""Look at the generators, or let one make a clip.

python -m generators list
python -m generators sample --generator G --text "..." --seconds 5 out.flac     (--help lists the options)
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from generators.catalogue import catalogue_table
from music.command import run


@dataclass(frozen=True)
class ListGenerators:
    """Print the generators that are known by name; --generator also takes hub ids and folders of the same kinds."""


def list_generators(config: ListGenerators) -> None:
    """Print the table."""
    print(catalogue_table())


def main(argv: Sequence[str]) -> None:
    """Run the command that the first argument names."""
    command, rest = (argv[0] if argv else "--help"), argv[1:]
    if command == "list":
        run(list_generators, ListGenerators, rest)
    elif command == "sample":
        from generators import sample_clip  # which needs torch

        run(sample_clip.main, sample_clip.SampleClip, rest, positionals=("output",))
    elif command in ("--help", "-h"):
        print(__doc__.strip())
    else:
        print(f"error: expected list or sample, got {command!r} (--help shows both)", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main(sys.argv[1:])
