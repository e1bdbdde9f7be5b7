"""Commands of `experiments.benchmarks`."""

import sys

import experiments.benchmarks
from music.subcommands import Command, dispatch

COMMANDS = {
    "generation": Command(
        "experiments.benchmarks.generation:GenerationSpeed", "clips per second of MusicGen at its true size"
    ),
    "stable-audio": Command(
        "experiments.benchmarks.stable_audio:StableAudioSpeed",
        "clips per second of Stable Audio Open at its true size",
    ),
    "scoring": Command(
        "experiments.benchmarks.scoring:ScoringSpeed",
        "how fast CMI-RM at its true size finds the best of n",
    ),
    "embedding": Command(
        "experiments.benchmarks.embedding:EmbeddingSpeed", "hours of audio that the towers encode in an hour"
    ),
    "search": Command(
        "experiments.benchmarks.search:SearchTime",
        "wall time that pruning saves at true size, beside best of n",
    ),
    "memory": Command(
        "experiments.benchmarks.memory:MemoryTaken",
        "memory that MusicGen takes, beside what is planned for it",
    ),
    "numeric-types": Command(
        "experiments.benchmarks.numeric_types:NumericTypes",
        "whether a reward model orders clips in bfloat16 as in float32",
    ),
}


def main(argv: list[str]) -> None:
    """Run the command that the first word names."""
    dispatch("python -m experiments.benchmarks", experiments.benchmarks.__doc__ or "", COMMANDS, argv)


if __name__ == "__main__":
    main(sys.argv[1:])
