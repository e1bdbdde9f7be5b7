"""``python -m experiments.search``."""

from experiments.search.previews import MeasurePreviews, main
from music.command import run

if __name__ == "__main__":
    run(main, MeasurePreviews)
