"""Run one of the commands of `reward.data`; see the package."""

import sys

from music.command import run
from reward.data import check, prepare, stats

COMMANDS = {
    "prepare": lambda arguments: run(prepare.main, prepare.Prepare, arguments),
    "check": lambda arguments: run(check.main, check.Check, arguments, positionals=("files",)),
    "stats": lambda arguments: run(stats.main, stats.Stats, arguments, positionals=("files",)),
}


def main() -> None:
    """Hand the rest of the command line to the command that it names."""
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        found = sys.argv[1] if len(sys.argv) > 1 else "nothing"
        print(f"error: expected one of {', '.join(COMMANDS)}, got {found}", file=sys.stderr)
        sys.exit(2)
    COMMANDS[sys.argv[1]](sys.argv[2:])


if __name__ == "__main__":
    main()
