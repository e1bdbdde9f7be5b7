"""``python -m experiments.post_training``."""

from experiments.post_training.command import ComparePostTraining, main
from music.command import run

if __name__ == "__main__":
    run(main, ComparePostTraining)
