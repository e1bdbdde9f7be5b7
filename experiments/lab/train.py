"""Rebuilds the lab's models from nothing: songs are composed, rendered and damaged, nothing is downloaded.

    python -m experiments.lab.train all            # every part of `STEPS`, in order
    python -m experiments.lab.train musicgen       # one part; what it needs must be there

Each part writes checkpoints and a log to `--work` and continues from them when it is started again; it ends with the
same weights as a run that was never stopped. Finished models go to `--output` in half precision;
`assets/lab/README.md` says how long each took.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from music.command import run


@dataclass(frozen=True)
class TrainLab:
    """Train the lab's models.

    Parameters
    ----------
    part
        What to train; `all` trains every part in the order in which they need each other.
    output
        Folder of the finished models.
    work
        Folder of checkpoints, logs and cached data.
    """

    part: Literal[
        "all", "codec", "musicgen", "vae", "stable_audio", "mulan", "cmi_rm", "gold", "prompts", "pairs"
    ] = "all"
    output: Path = Path("assets/lab")
    work: Path = Path("runs/lab")


def _codec(options: TrainLab) -> None:
    from experiments.lab.training.codec import train_codec

    if not (options.work / "codec" / "config.json").exists():
        train_codec(options.work / "codec")


def _musicgen(options: TrainLab) -> None:
    from experiments.lab.training.codec import load_codec
    from experiments.lab.training.musicgen import train_musicgen

    train_musicgen(options.output / "musicgen", options.work / "musicgen", load_codec(options.work / "codec"))


def _vae(options: TrainLab) -> None:
    from experiments.lab.training.vae import train_vae
    from generators.diffusion.pipeline_folder import LIBRARIES

    LIBRARIES.check()
    train_vae(options.work / "vae" / "finished", options.work / "vae")


def _stable_audio(options: TrainLab) -> None:
    from experiments.lab.training.stable_audio import train_stable_audio
    from generators.diffusion.pipeline_folder import LIBRARIES

    LIBRARIES.check()
    train_stable_audio(
        options.output / "stable_audio", options.work / "stable_audio", options.work / "vae" / "finished"
    )


def _mulan(options: TrainLab) -> None:
    from experiments.lab.training.codec import load_codec
    from experiments.lab.training.mulan import train_mulan

    train_mulan(options.output, options.work / "mulan", load_codec(options.work / "codec"))


def _cmi_rm(options: TrainLab) -> None:
    from experiments.lab.training.cmi_rm import train_cmi_rm
    from experiments.lab.training.codec import load_codec

    train_cmi_rm(options.output, options.work / "cmi_rm", load_codec(options.work / "codec"))


def _gold(options: TrainLab) -> None:
    from experiments.lab.training.codec import load_codec
    from experiments.lab.training.gold import train_gold

    train_gold(options.output / "gold", options.work / "gold", load_codec(options.work / "codec"))


def _pairs(options: TrainLab) -> None:
    from experiments.lab.pairs import write_rows

    write_rows(options.output / "pairs.jsonl")


def _prompts(options: TrainLab) -> None:
    from experiments.lab.world.prompts import SHIPPED, write_prompts

    for name, prompts in SHIPPED.items():
        write_prompts(options.output / name, prompts)


# in the order in which they need each other
STEPS: dict[str, Callable[[TrainLab], None]] = {
    "codec": _codec,
    "musicgen": _musicgen,
    "vae": _vae,
    "stable_audio": _stable_audio,
    "mulan": _mulan,
    "cmi_rm": _cmi_rm,
    "gold": _gold,
    "prompts": _prompts,
    "pairs": _pairs,
}


def main(options: TrainLab) -> None:
    """Train the part, or all parts in order."""
    for part in STEPS if options.part == "all" else (options.part,):
        STEPS[part](options)


if __name__ == "__main__":
    run(main, TrainLab, positionals=("part",))
