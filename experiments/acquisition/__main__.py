"""``python -m experiments.acquisition``."""

from experiments.acquisition.command import main
from experiments.acquisition.options import CompareAcquisitions
from music.command import run

if __name__ == "__main__":
    run(main, CompareAcquisitions)
