"""Run the judge; see the package."""

from music.command import run
from reward.judge.command import LabelPairs, main

if __name__ == "__main__":
    run(main, LabelPairs)
