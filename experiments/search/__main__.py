"""``python -m experiments.search``."""

from experiments.search.command import main
from experiments.search.options import CompareSearches
from music.command import run

if __name__ == "__main__":
    run(main, CompareSearches)
