"""Rebuilds the lab's models from nothing: songs are composed, rendered and damaged, and nothing is downloaded.

    python -m experiments.lab.train all            # every part of `PARTS`, in order
    python -m experiments.lab.train musicgen       # one part; what it needs must be there

Each part writes checkpoints and a log to `--work` and continues from them when it is started again; it ends with the
weights of a run that was never stopped. Finished models go to `--output` in half precision, which other commands of the
lab take as `--suite`; the shipped ones are replaced by `--output assets/lab`. `assets/lab/README.md` says how long each
took.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from experiments.lab.pairs import write_rows
from experiments.lab.training import gold
from experiments.lab.training.cmi_rm import train_cmi_rm, train_cmi_rm_played
from experiments.lab.training.codec import load_codec, train_codec
from experiments.lab.training.gold import Judges, train_gold
from experiments.lab.training.mulan import train_mulan
from experiments.lab.training.mulan_played import train_mulan_played
from experiments.lab.training.musicgen import train_musicgen
from experiments.lab.training.regenerated import Player
from experiments.lab.training.stable_audio import train_stable_audio
from experiments.lab.training.taught import train_cmi_rm_taught
from experiments.lab.training.vae import train_vae
from experiments.lab.world.prompts import SHIPPED, write_prompts
from experiments.lab.world.rendering import RENDERING
from generators.diffusion.pipeline_folder import LIBRARIES as DIFFUSERS
from music.command import run
from music.errors import InputError

PLAYED = "played"  # folder of the towers and the reward that have heard what the generator plays


@dataclass(frozen=True)
class TrainLab:
    """Train the lab's models.

    Parameters
    ----------
    part
        Part to train: codec, musicgen, vae, stable_audio, mulan, cmi_rm, mulan_played, cmi_rm_played, gold, gold_b,
        prompts, cmi_rm_taught, pairs; or all, in this order. The parts mulan_played, cmi_rm_played and cmi_rm_taught
        save in the folder `played`.
    output
        Folder of the finished models.
    work
        Folder of checkpoints, logs and cached data.
    """

    POSITIONALS: ClassVar = ("part",)

    part: Literal[
        "all",
        "codec",
        "musicgen",
        "vae",
        "stable_audio",
        "mulan",
        "cmi_rm",
        "mulan_played",
        "cmi_rm_played",
        "gold",
        "gold_b",
        "prompts",
        "cmi_rm_taught",
        "pairs",
    ] = "all"
    output: Path = Path("runs/lab/models")
    work: Path = Path("runs/lab")


def _fit_codec(output: Path, work: Path) -> None:
    if not (work / "codec" / "config.json").exists():
        train_codec(work / "codec")


def _write_prompts(output: Path, work: Path) -> None:
    for name, prompts in SHIPPED.items():
        write_prompts(output / name, prompts)


def _fit_musicgen(output: Path, work: Path) -> None:
    train_musicgen(output / "musicgen", work / "musicgen", load_codec(work / "codec"))


def _fit_cmi_rm(output: Path, work: Path) -> None:
    _made("cmi_rm", output / "mulan", "mulan")
    train_cmi_rm(output, work / "cmi_rm", load_codec(work / "codec"))


def _fit_mulan_played(output: Path, work: Path) -> None:
    first = _made("mulan_played", output / "mulan", "mulan")
    generator = _made("mulan_played", output / "musicgen", "musicgen")
    train_mulan_played(output / PLAYED, work / "mulan_played", first, generator)


def _fit_cmi_rm_played(output: Path, work: Path) -> None:
    _made("cmi_rm_played", output / PLAYED / "mulan", "mulan_played")
    first = _made("cmi_rm_played", output / "cmi_rm", "cmi_rm")
    generator = _made("cmi_rm_played", output / "musicgen", "musicgen")
    train_cmi_rm_played(output / PLAYED, work / "cmi_rm_played", first, generator, work / "mulan_played")


def _fit_cmi_rm_taught(output: Path, work: Path) -> None:
    _made("cmi_rm_taught", output / PLAYED / "cmi_rm", "cmi_rm_played")
    pairs = _made("cmi_rm_taught", work / "cmi_rm_played" / "pairs", "cmi_rm_played")
    generator = _made("cmi_rm_taught", output / "musicgen", "musicgen")
    train_cmi_rm_taught(output / PLAYED, work / "cmi_rm_taught", generator, pairs)


def _player(name: str, output: Path) -> Player:
    """Return the MusicGen of the output, which plays songs for the part `name`."""
    return Player(_made(name, output / "musicgen", "musicgen"))


def _made(name: str, folder: Path, by: str) -> Path:
    """Return a folder that the part `name` needs and the part `by` makes."""
    if not folder.exists():
        raise InputError(f"{name} needs {folder}: train the part {by} first, with the same --output")
    return folder


def judges(trained: Judges, name: str) -> Callable[[Path, Path], None]:
    """Return the training of gold judges."""
    return lambda output, work: train_gold(trained, output / name, work / name, _player(name, output))


#: what makes each part from the folders of --output and --work; each comes after those that it needs
PARTS: dict[str, Callable[[Path, Path], None]] = {
    "codec": _fit_codec,
    "musicgen": _fit_musicgen,
    "vae": lambda output, work: train_vae(work / "vae" / "finished", work / "vae"),
    "stable_audio": lambda output, work: train_stable_audio(
        output / "stable_audio", work / "stable_audio", work / "vae" / "finished"
    ),
    "mulan": lambda output, work: train_mulan(output, work / "mulan", load_codec(work / "codec")),
    "cmi_rm": _fit_cmi_rm,
    "mulan_played": _fit_mulan_played,
    "cmi_rm_played": _fit_cmi_rm_played,
    "gold": judges(gold.FIRST, "gold"),
    "gold_b": judges(gold.SECOND, "gold_b"),
    "prompts": _write_prompts,
    "cmi_rm_taught": _fit_cmi_rm_taught,
    "pairs": lambda output, work: write_rows(output / "pairs.jsonl"),
}


def main(options: TrainLab) -> None:
    """Train the part, or all parts in order, and say where the models are."""
    parts = [*PARTS] if options.part == "all" else [options.part]
    if {*parts} - {"prompts", "pairs"}:
        RENDERING.check()
    if {*parts} & {"vae", "stable_audio"}:
        DIFFUSERS.check()
    if options.part == "all":
        print("all parts take about 7 hours on two cores (assets/lab/README.md)", file=sys.stderr)
    for part in parts:
        PARTS[part](options.output, options.work)
    print(options.output)


if __name__ == "__main__":
    run(main, TrainLab)
