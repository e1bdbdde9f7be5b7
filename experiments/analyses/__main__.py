"""Run the analysis that the first argument names; see the package. ``NAME --help`` lists its options."""

import importlib
import sys
from collections.abc import Sequence

import experiments.analyses as package
from music.command import run

ANALYSES = {
    "arena": "experiments.analyses.arena:Arena",
    "windows": "experiments.analyses.windows:Windows",
    "leaderboard": "experiments.analyses.leaderboard:Leaderboard",
    "anchors": "experiments.analyses.anchors:Anchors",
    "mirex": "experiments.analyses.mirex:Mirex",
}


def main(arguments: Sequence[str]) -> None:
    """Hand the rest of the command line to the analysis."""
    name = arguments[0] if arguments else "--help"
    if name in ANALYSES:
        place, _, config = ANALYSES[name].partition(":")
        module = importlib.import_module(place)
        run(module.main, getattr(module, config), arguments[1:])
    elif name in ("--help", "-h"):
        print((package.__doc__ or "").strip())
    else:
        print(f"error: expected one of {', '.join(ANALYSES)}, got {name!r}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main(sys.argv[1:])
