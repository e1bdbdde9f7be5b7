"""One clip of one prompt.

    python -m generators sample --text "slow jazz, brushes" --seconds 5 out.flac
    python -m generators sample --generator folder:clips --text "slow jazz, brushes" out.flac

With the same seed, options and batch size (1, the fastest, if none is given) it is candidate 0 that a pool holds for
that text as a line of a .txt file of prompts.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from generators.filling import refuse_unsupported, warn_of_unsupported
from generators.protocol import Job
from generators.registry import given_sampling, load_generator, options_of
from music.clips import read_clip, write_clip
from music.command import refuse_below_one
from music.errors import InputError
from music.hashing import candidate_seed, path_name
from music.options import Generation, Runtime
from music.prompts import Prompt


@dataclass(frozen=True)
class SampleClip(Generation, Runtime):
    """Make one clip and write it as FLAC.

    Attributes
    ----------
    output
        File that is written, .flac.
    text
        Description of the music.
    generator
        Generator: a name (python -m generators list), hub id, model folder, or folder:PATH.
    lyrics
        Words to be sung.
    reference
        Audio file whose style is asked for, its melody (MusicGen Melody), or a continuation.
    seconds
        Length of the clip, s.
    seed
        Seed of the clip; another one gives another clip.
    """

    POSITIONALS: ClassVar = ("output",)

    output: Path
    text: str
    generator: str = "lab-musicgen"
    lyrics: str = ""
    reference: Path | None = None
    seconds: float = 5.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what could only fail at the end."""
        if self.output.suffix.lower() != ".flac":
            raise InputError(f"the output is FLAC: expected a name ending in .flac, got {self.output}")
        if not self.text.strip():
            raise InputError("--text is empty")
        refuse_below_one(self, "batch_size")


def main(config: SampleClip) -> None:
    """Make the clip, write it and print its name."""
    text = config.text.strip()  # as the line of a file is
    prompt = Prompt(path_name(text, digits=8), text, config.lyrics, config.reference)
    if prompt.reference is not None:
        read_clip(prompt.reference)
    sampling = given_sampling(config)
    if "batch_size" in options_of(config.generator, config.backend):
        sampling.setdefault("batch_size", 1)
    generator = load_generator(config.generator, config.backend, config.device, config.dtype, **sampling)
    if config.ignore_unsupported:
        warn_of_unsupported(generator, [prompt])
    else:
        refuse_unsupported(generator, [prompt])
    job = Job(prompt, 0, candidate_seed(config.seed, prompt.id, 0))
    (sample,) = generator.generate([job], config.seconds)
    write_clip(config.output, sample.clip)
    print(config.output)
