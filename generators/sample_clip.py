"""One clip of one prompt: ``python -m generators sample``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from generators.filling import refuse_unsupported, warn_of_unsupported
from generators.protocol import Job
from generators.registry import given_sampling, load_generator, options_of
from music.clips import read_clip, write_clip
from music.command import refuse_below_one
from music.errors import InputError
from music.hashing import candidate_seed, path_name
from music.prompts import Prompt


@dataclass(frozen=True)
class SampleClip:
    """Make one clip and write it as FLAC.

    With the same seed, options and batch size it is candidate 0 that a pool holds for that text as a line of a .txt
    file of prompts.

    Attributes
    ----------
    output
        The file, .flac.
    text
        What it shall be.
    generator
        A name (python -m generators list), hub id, model folder, or folder:PATH.
    lyrics
        What is sung.
    reference
        An audio file whose style is asked for, or its melody (MusicGen Melody).
    seconds
        Length of the clip, s.
    seed
        Another one gives another clip.
    ignore_unsupported
        Go on without lyrics or reference where the generator does not look at them.
    backend
        Library that runs the generator, if there is a choice.
    guidance
        Classifier-free guidance scale; the generator's own default if not given.
    steps
        Of denoising, where there are any; the generator's own default if not given.
    negative_prompt
        What diffusion shall lead away from.
    temperature
        Of the sampling; the generator's own default if not given.
    top_k
        Sample among so many tokens; the generator's own default if not given.
    continuation
        Seconds of the reference that MusicGen goes on from; the clip begins with them.
    batch_size
        Part of what decides the last bits of a clip; 1, the fastest, if not given.
    dtype
        Numeric type of the generator.
    device
        auto, cpu, cuda ...
    """

    output: Path
    text: str
    generator: str = "lab-musicgen"
    lyrics: str = ""
    reference: Path | None = None
    seconds: float = 5.0
    seed: int = 0
    ignore_unsupported: bool = False
    backend: str | None = None
    guidance: float | None = None
    steps: int | None = None
    negative_prompt: str | None = None
    temperature: float | None = None
    top_k: int | None = None
    continuation: float | None = None
    batch_size: int | None = None
    dtype: Literal["float32", "bfloat16"] = "float32"
    device: str = "auto"

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
