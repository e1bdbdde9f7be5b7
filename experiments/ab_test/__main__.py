"""Commands of `experiments.ab_test`."""

import sys

import experiments.ab_test
from music.subcommands import Command, dispatch

COMMANDS = {
    "build": Command("experiments.ab_test.building.build:Build", "make a blinded test of pools and folders"),
    "check": Command(
        "experiments.ab_test.building.check:Check", "check that nothing public reveals a system"
    ),
    "serve": Command("experiments.ab_test.serving.serve:Serve", "serve the page and keep the answers"),
    "static": Command("experiments.ab_test.serving.static:Static", "write a page that needs no server"),
    "export": Command(
        "experiments.ab_test.analysis.export:Export", "write answers, training data, other formats"
    ),
    "analyze": Command("experiments.ab_test.analysis.analyze:Analyze", "report win rates and agreement"),
    "plan": Command("experiments.ab_test.plan:Plan", "tell how many raters an effect needs"),
    "simulate": Command("experiments.ab_test.simulate:Simulate", "answer with raters of a known taste"),
    "demo": Command("experiments.ab_test.demo:Demo", "build and serve a small study of the lab's clips"),
}


def main(argv: list[str]) -> None:
    """Run the command that the first word names."""
    dispatch("python -m experiments.ab_test", experiments.ab_test.__doc__ or "", COMMANDS, argv)


if __name__ == "__main__":
    main(sys.argv[1:])
