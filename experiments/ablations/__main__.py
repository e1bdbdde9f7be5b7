"""``python -m experiments.ablations``."""

from experiments.ablations.command import Ablate, main
from music.command import run

if __name__ == "__main__":
    run(main, Ablate)
