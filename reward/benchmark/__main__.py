"""Run the benchmark; see the package."""

from music.command import run
from reward.benchmark.command import Benchmark, main

if __name__ == "__main__":
    run(main, Benchmark)
