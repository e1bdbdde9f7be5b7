"""The audio of a study: all clips of a prompt equally long and loud, in one format, under names that are drawn."""

import io
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import soundfile
import torch

from experiments.ab_test.building.sounds import (
    Level,
    amplified,
    common_gains,
    encode,
    measure,
    outline_of,
    shaped,
    spoilt,
)
from experiments.ab_test.building.systems import Source
from experiments.ab_test.study import CLEAN, SPOILT, KeyClip, StudyClip
from music.clips import Clip, read_clip
from music.durable import write_bytes
from music.hashing import sha256_file

LONGEST_REFERENCE = 30.0  # s


@dataclass(frozen=True)
class AudioFormat:
    """What all clips of a study have in common.

    Attributes
    ----------
    kind
        flac, mp3 or opus.
    sample_rate
        Hz.
    channels
        1 or 2.
    seconds
        Longest clip.
    loudness, ceiling
        See `experiments.ab_test.building.sounds.common_gains`.
    outlined
        Whether the outlines of clips are kept for raters to see.
    """

    kind: str
    sample_rate: int
    channels: int
    seconds: float
    loudness: float
    ceiling: float
    outlined: bool


class Renderer:
    """Writes the audio of a study.

    Attributes
    ----------
    clips, key_clips
        What is written, by file name: for the public, and for the makers.

    Parameters
    ----------
    folder
        Where to.
    form
        Of the clips.
    random_stream
        Where names and noise come from.
    """

    def __init__(self, folder: Path, form: AudioFormat, random_stream: random.Random) -> None:
        self.clips: dict[str, StudyClip] = {}
        self.key_clips: dict[str, KeyClip] = {}
        self._folder = folder
        self._form = form
        self._random = random_stream

    def prompt(self, prompt: str, sources: Mapping[str, Source], spoil: bool) -> dict[str, str]:
        """Write the clips of a prompt.

        Parameters
        ----------
        prompt
            Its id, for messages.
        sources
            By system; systems that offer the same clip share a file.
        spoil
            Whether one of the clips is written a second time, drowned in noise.

        Returns
        -------
        dict
            The file of each system, and of `CLEAN` and `SPOILT`.

        Raises
        ------
        InputError
            If a clip cannot be read, is too short or silent.
        """
        form = self._form
        systems: dict[str, list[str]] = {}
        for system in self._random.sample(
            sorted(sources), len(sources)
        ):  # nor does the order of writing tell
            systems.setdefault(sources[system].sha256, []).append(system)
        chosen = [sources[names[0]] for names in systems.values()]
        read = [read_clip(source.path, form.seconds) for source in chosen]
        seconds = min(clip.seconds for clip in read)
        clips = [shaped(clip, form.sample_rate, form.channels, seconds) for clip in read]
        owners: list[Sequence[str]] = list(systems.values())
        if spoil:
            victim = self._random.randrange(len(clips))
            clips.append(spoilt(clips[victim], self._random.getrandbits(32)))
            chosen.append(chosen[victim])
            owners.append([])
        files = self._write_together(clips, chosen, owners, f"for prompt {prompt!r}")
        found = {name: file for file, names in zip(files, owners, strict=True) for name in names}
        return found | ({CLEAN: files[victim], SPOILT: files[-1]} if spoil else {})

    def _write_together(
        self, clips: Sequence[Clip], sources: Sequence[Source], owners: Sequence[Sequence[str]], where: str
    ) -> list[str]:
        """Write clips that are heard against each other, equally loud; return their files."""
        levels = [
            measure(clip, f"{source.path} {where}") for clip, source in zip(clips, sources, strict=True)
        ]
        gains = common_gains(levels, self._form.loudness, self._form.ceiling)
        files = []
        for clip, source, names, level, gain in zip(clips, sources, owners, levels, gains, strict=True):
            if self._form.kind != "flac":  # formats with losses change the loudness a little
                gain += level.loudness + gain - self._heard(amplified(clip, gain)).loudness
            file = self._write_clip(amplified(clip, gain))
            heard = measure(read_clip(self._folder / file))
            self.key_clips[file] = KeyClip(
                systems=sorted(names),
                source=str(source.path),
                source_sha256=source.sha256,
                generator=source.generator,
                candidate=source.candidate,
                sha256=sha256_file(self._folder / file),
                gain=gain,
                loudness=heard.loudness,
                peak=heard.peak,
            )
            files.append(file)
        return files

    def _heard(self, clip: Clip) -> Level:
        """Return the level of a clip after encoding."""
        with io.BytesIO(encode(clip, self._form.kind)) as data:
            frames, rate = soundfile.read(data, dtype="float32", always_2d=True)
        return measure(Clip(torch.from_numpy(frames.T.copy()), rate))

    def reference(self, path: Path) -> str:
        """Write a reference clip; return its file."""
        form = self._form
        clip = shaped(read_clip(path, LONGEST_REFERENCE), form.sample_rate, form.channels, LONGEST_REFERENCE)
        gain = common_gains([measure(clip, f"the reference {path}")], form.loudness, form.ceiling)[0]
        return self._write_clip(amplified(clip, gain))

    def sound(self, clip: Clip) -> str:
        """Write the sound of a check, always without loss and in stereo; return its file."""
        gain = common_gains([measure(clip)], self._form.loudness, self._form.ceiling)[0]
        return self._write(encode(amplified(clip, gain), "flac"), "flac")

    def _write_clip(self, clip: Clip) -> str:
        file = self._write(encode(clip, self._form.kind), self._form.kind)
        self.clips[file] = StudyClip(round(clip.seconds, 4), outline_of(clip) if self._form.outlined else [])
        return file

    def _write(self, data: bytes, kind: str) -> str:
        file = f"{self._random.getrandbits(64):016x}.{kind}"
        write_bytes(self._folder / file, data)
        return file
