"""The settings of `experiments.ab_test.building.build`."""

from dataclasses import dataclass
from pathlib import Path

from experiments.ab_test.building.sounds import FORMATS, SHORTEST
from music.command import refuse_below_one
from music.errors import InputError

CONSENT = """In this study you listen to pairs of short pieces of music and say which you find better. It is about the \
music, not about you: there are no right or wrong answers.

We store your answers, when you gave them and how long you listened, together with the participant number that brought \
you here, if there is one. We store no name, no address of your computer, and nothing else about you.

Taking part is voluntary. You may stop at any time by closing the page, and come back later to go on."""


@dataclass(frozen=True)
class Build:
    """Build a blinded listening test from pools and folders of clips.

    Parameters
    ----------
    systems
        What is compared, with commas between: NAME=POOL:n for the reward's best of the first n candidates of a pool,
        NAME=FOLDER for the first clip of each prompt in a folder with a list (ground truth, another system).
    output
        Folder for the study.
    prompts
        Where the prompts are; those of the first pool by default.
    sample
        Draw so many prompts; all by default.
    pairs_per_prompt
        A balanced part of the pairs of each prompt; all pairs by default.
    trials_per_rater
        Split the pairs so that a rater hears at most so many; all by default.
    raters
        For how many raters orders are drawn; further ones start over with the first.
    catches
        Trials a rater in which one clip is drowned in noise.
    repeats
        Pairs that a rater hears twice, a third of their pairs at most.
    identicals
        Trials a rater that play the same clip twice.
    seconds
        Longest clip.
    loudness
        Of all clips, in LUFS; less for all clips of a prompt if a peak demands it.
    ceiling
        Highest true peak, in dB of full scale.
    audio
        Format of the clips: flac, mp3 or opus.
    sample_rate
        Of all clips, in Hz.
    waveforms
        Whether raters see the outlines of the clips; what is seen may sway what is heard, and tells identical pairs.
    title
        Heading of the first page.
    consent
        A text file with what raters agree to; our own words by default.
    ties
        Whether raters may say that two clips are equally good.
    minimum_listening
        Seconds of each clip that must be heard before an answer counts; all of a shorter clip.
    reading_seconds
        For which the instruction is shown before the players unlock.
    completion_code
        Shown to those who finish, such as Prolific's; one of each rater's own by default.
    reward
        The scorer that picks, as in reward.score.
    weights
        What the reward is made of.
    seed
        Of everything drawn; a secret one by default, kept in the key. Whoever knows it can undo the blinding.
    dtype
        float32 or bfloat16.
    device
        auto, cpu or cuda.
    """

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
    title: str = "Which music is better?"
    consent: Path | None = None
    ties: bool = True
    minimum_listening: float = 3.0
    reading_seconds: float = 2.0
    completion_code: str = ""
    reward: str = "lab-cmi-rm"
    weights: str = "musicality=0.5,alignment=0.5"
    seed: int | None = None
    dtype: str = "float32"
    device: str = "auto"

    def __post_init__(self) -> None:
        """Refuse numbers out of range and unknown formats."""
        refuse_below_one(self, "sample", "pairs_per_prompt", "trials_per_rater", "raters")
        if self.audio not in FORMATS:
            raise InputError(f"--audio must be one of {', '.join(FORMATS)}, got {self.audio!r}")
        if self.audio != "flac" and self.sample_rate != 48_000:
            raise InputError(f"--audio {self.audio} needs --sample_rate 48000, got {self.sample_rate}")
        if self.seconds < SHORTEST:
            raise InputError(f"--seconds must be at least {SHORTEST}, got {self.seconds}")
        if self.ceiling > 0 or self.loudness >= self.ceiling:
            raise InputError(
                f"--loudness {self.loudness} must lie below --ceiling {self.ceiling}, and that below 0"
            )
        for name in ("catches", "repeats", "identicals", "minimum_listening", "reading_seconds"):
            if getattr(self, name) < 0:
                raise InputError(f"--{name} must not be negative, got {getattr(self, name)}")
