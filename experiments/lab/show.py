"""Draws spectrograms of the lab: real songs, the same through the codec, and generated clips for their captions.

    python -m experiments.lab.show --output runs/lab/spectrograms.png

Nothing is selected: the songs are the first of their split, and the seeds follow each other.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from experiments.lab.options import Suite
from experiments.lab.world.coded_audio import shipped_codec, through_codec
from experiments.lab.world.corpus import song
from experiments.lab.world.rendering import RENDERING
from generators import load_generator
from generators.protocol import Job
from music.command import refuse_below_one, run
from music.drawing import write_figure
from music.prompts import Prompt

NAMED = ("instrument", "tempo", "drums", "mode")


@dataclass(frozen=True)
class Show(Suite):
    """Draw real, coded and generated songs side by side.

    Parameters
    ----------
    generator
        Generator: a name (lab-musicgen), hub id or folder.
    clips
        Number of held-out songs, one in each row.
    seconds
        Length of each clip, s.
    seed
        Seed of the first generated clip; each next one has the next seed.
    output
        Picture to write, PNG.
    """

    LIBRARIES: ClassVar = (RENDERING,)
    RENAMED: ClassVar = {"n": "clips"}

    generator: str = "lab-musicgen"
    clips: int = 6
    seconds: float = 5.0
    seed: int = 0
    output: Path = Path("runs/lab/spectrograms.png")

    def __post_init__(self) -> None:
        refuse_below_one(self, "clips")


def main(options: Show) -> None:
    """Render, code, generate and draw."""
    from matplotlib.figure import Figure

    codec, generator = shipped_codec(options.suite), load_generator(options.generator)
    songs = [song("test", "show", index, options.seconds) for index in range(options.clips)]
    jobs = [
        Job(Prompt(str(index), one.caption(NAMED)), 0, options.seed + index)
        for index, one in enumerate(songs)
    ]
    generated = {sample.job.prompt.id: sample.clip for sample in generator.generate(jobs, options.seconds)}
    figure = Figure(figsize=(12, 2.1 * options.clips), layout="constrained")
    axes = figure.subplots(options.clips, 3, sharex=True, sharey=True, squeeze=False)
    for row, (one, job) in enumerate(zip(songs, jobs, strict=True)):
        real = one.waveform()
        waves = (real, through_codec(codec, real), generated[str(row)].waveform[0].numpy())
        for column, (wave, name) in enumerate(zip(waves, ("real", "coded", "generated"), strict=True)):
            frames = codec.frames(torch.from_numpy(np.ascontiguousarray(wave))[None])[0]
            picture = frames.reshape(-1, codec.config.n_mels).T.numpy()
            axes[row, column].imshow(
                picture, origin="lower", aspect="auto", cmap="magma", vmin=-7, vmax=3,
                extent=(0, options.seconds, 0, codec.config.n_mels),
            )  # fmt: skip
            if row == 0:
                axes[row, column].set_title(name)
        axes[row, 0].set_ylabel("mel band")
        axes[row, 0].text(
            0.01, 0.98, job.prompt.text, transform=axes[row, 0].transAxes, va="top", color="white", fontsize=7
        ).set_in_layout(False)
    for axis in axes[-1]:
        axis.set_xlabel("s")
    write_figure(figure, options.output, dpi=75)


if __name__ == "__main__":
    run(main, Show)
