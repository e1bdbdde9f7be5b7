"""Run one of the commands of `experiments.ab_test`; see the package."""

import importlib
import sys

from music.command import run
from music.errors import InputError
from music.optional_libraries import install_extra

#: name: module, its dataclass, and the fields that are given without their names
COMMANDS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "build": ("building.build", "Build", ("systems",)),
    "check": ("building.check", "Check", ("study",)),
    "static": ("serving.static", "Static", ("study",)),
    "demo": ("demo", "Demo", ()),
    "export": ("analysis.export", "Export", ("study",)),
    "analyze": ("analysis.analyze", "Analyze", ("study",)),
    "plan": ("plan", "Plan", ()),
    "simulate": ("simulate", "Simulate", ("study",)),
    "serve": ("serving.serve", "Serve", ("studies",)),
}


def main() -> None:
    """Hand the rest of the command line to the command that it names."""
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        found = sys.argv[1] if len(sys.argv) > 1 else "nothing"
        print(f"error: expected one of {', '.join(COMMANDS)}, got {found}", file=sys.stderr)
        sys.exit(2)
    name, config, positionals = COMMANDS[sys.argv[1]]
    module = importlib.import_module(f"experiments.ab_test.{name}")

    def guarded(options: object) -> int | None:
        try:
            return module.main(options)
        except ModuleNotFoundError as error:
            raise InputError(
                f"listening tests need {error.name}, which is not installed: {install_extra('listening')}"
            ) from error

    run(guarded, getattr(module, config), sys.argv[2:], positionals)


if __name__ == "__main__":
    main()
