"""The options of `build`, and the consent that raters give unless a study has its own.

    python -m experiments.ab_test build "truth=data/musiccaps,top-10=POOL:10,top-1=POOL:1" --output runs/study
    python -m experiments.ab_test build --config experiments/configs/paper_listening_test.yaml

`experiments.ab_test.building.build` says what is built.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from experiments.ab_test.building.sounds import FORMATS, SHORTEST
from experiments.ab_test.study import LISTENING
from music.command import refuse_below_one
from music.errors import InputError
from music.files import read_text
from music.options import Rewarding, Runtime
from music.sample_rates import check_sample_rate

_SOFTEST = -60.0  # LUFS; the gate of the measurement hears nothing below -70
TITLE = "Which music is better?"
CONSENT = """In this study you listen to pairs of short pieces of music and say which you find better. It is about the \
music, not about you: there are no right or wrong answers.

We store your answers, when you gave them and how long you listened, together with the participant number that brought \
you here, if there is one. We store no name, no address of your computer, and nothing else about you.

Taking part is voluntary. You may stop at any time by closing the page, and come back later to go on."""


@dataclass(frozen=True)
class Build(Rewarding, Runtime):
    """Build a blinded listening test from pools and folders of clips.

    Parameters
    ----------
    systems
        Systems to compare, separated by commas: NAME=POOL:n for the reward's best of the first n candidates of a pool,
        NAME=FOLDER for the first clip of each prompt in a folder with a list (ground truth, another system).
    output
        Folder for the study.
    prompts
        Prompts: a .jsonl or .txt file, or MusicCaps; those of the first pool by default.
    sample
        Number of prompts to draw; all by default.
    pairs_per_prompt
        Number of pairs for each prompt, balanced over all of them; every pair by default.
    trials_per_rater
        Most pairs that one rater hears; the pairs are split among raters. All by default.
    raters
        Number of raters for whom orders are drawn; further ones start again with the first.
    catches
        Number of trials for each rater in which one clip is drowned in noise.
    repeats
        Number of pairs that a rater hears twice; a third of their pairs at most.
    identicals
        Number of trials for each rater in which both clips are the same.
    seconds
        Seconds of the longest clip; longer ones are cut.
    loudness
        Loudness of all clips, in LUFS; all clips of a prompt are softer if a peak demands it.
    ceiling
        Highest true peak, in dB of full scale.
    audio
        Format of the clips: flac, mp3 or opus.
    sample_rate
        Sample rate of all clips, in Hz.
    waveforms
        Whether raters see the outlines of the clips; what is seen may sway what is heard, and reveals identical pairs.
    title
        Heading of the first page.
    consent
        Text file with what raters agree to; a general one by default.
    ties
        Whether raters may say that two clips are equally good.
    minimum_listening
        Seconds of each clip that must be heard before an answer counts; all of a shorter clip.
    reading_seconds
        Seconds for which the request is shown before the players unlock.
    completion_code
        Code shown to those who finish, such as Prolific's; one of each rater's own by default.
    seed
        Seed of everything drawn; a secret one by default, kept in the key. Whoever knows it can undo the blinding.
    """

    POSITIONALS: ClassVar = ("systems",)
    LIBRARIES: ClassVar = (LISTENING,)
    UNTOLD: ClassVar = ("seed",)

    systems: str
    output: Path = Path("runs/listening_test")
    prompts: str = ""
    sample: int | None = None
    pairs_per_prompt: int | None = None
    trials_per_rater: int | None = None
    raters: int = 24
    catches: int = 2
    repeats: int = 2
    identicals: int = 1
    seconds: float = 10.0
    loudness: float = -23.0
    ceiling: float = -1.0
    audio: str = "flac"
    sample_rate: int = 48_000
    waveforms: bool = True
    title: str = TITLE
    consent: Path | None = None
    ties: bool = True
    minimum_listening: float = 3.0
    reading_seconds: float = 2.0
    completion_code: str = ""
    seed: int | None = None

    def __post_init__(self) -> None:
        """Refuse numbers out of range and unknown formats."""
        refuse_below_one(self, "sample", "pairs_per_prompt", "trials_per_rater", "raters")
        if self.audio not in FORMATS:
            raise InputError(f"--audio must be one of {', '.join(FORMATS)}, got {self.audio!r}")
        if self.audio != "flac" and self.sample_rate != 48_000:
            raise InputError(f"--audio {self.audio} needs --sample_rate 48000, got {self.sample_rate}")
        if not 8_000 <= self.sample_rate <= 192_000:  # what loudness and the sound checks need
            raise InputError(f"--sample_rate must be from 8000 to 192000, got {self.sample_rate}")
        check_sample_rate(self.sample_rate, "FLAC", "PCM_16", "--sample_rate")
        for name in ("seconds", "loudness", "ceiling", "minimum_listening", "reading_seconds"):
            if not math.isfinite(getattr(self, name)):
                raise InputError(f"--{name} must be finite, got {getattr(self, name)}")
        if self.seconds < SHORTEST:
            raise InputError(f"--seconds must be at least {SHORTEST}, got {self.seconds}")
        if not _SOFTEST <= self.loudness < self.ceiling <= 0:
            raise InputError(
                f"--loudness {self.loudness} must be at least {_SOFTEST} and lie below --ceiling {self.ceiling}, and "
                "that not above 0"
            )
        for name in ("catches", "repeats", "identicals", "minimum_listening", "reading_seconds"):
            if getattr(self, name) < 0:
                raise InputError(f"--{name} must not be negative, got {getattr(self, name)}")

    def consent_text(self) -> str:
        """Return what raters agree to; `InputError` if the file cannot be read."""
        return read_text(self.consent).strip() if self.consent else CONSENT
