"""The audio of a study: all clips of a prompt equally long and loud, in one format, under names that are drawn."""

import io
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import soundfile
import torch

from experiments.ab_test.building.config import Build
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
from experiments.ab_test.study import AUDIO, BLINDED, CLEAN, SPOILT, KeyClip, StudyClip
from music.clips import Clip, read_clip
from music.durable import write_bytes
from music.hashing import sha256_file

LONGEST_REFERENCE = 30.0  # s


@dataclass
class Renderer:
    """Writes the audio of a study.

    Attributes
    ----------
    options
        What was asked for: folder, format, length and level of the clips.
    channels
        Channels of all clips, 1 or 2.
    random_stream
        Source of names and noise.
    clips, key_clips
        What is written, by file name: for the public, and for the makers.
    """

    options: Build
    channels: int
    random_stream: random.Random
    clips: dict[str, StudyClip] = field(default_factory=dict)
    key_clips: dict[str, KeyClip] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Folder of the audio."""
        return self.options.output / BLINDED / AUDIO

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
        systems: dict[str, list[str]] = {}
        shuffled = self.random_stream.sample(
            sorted(sources), len(sources)
        )  # the order of writing must not tell
        for system in shuffled:
            systems.setdefault(sources[system].sha256, []).append(system)
        chosen = [sources[names[0]] for names in systems.values()]
        read = [read_clip(source.path, self.options.seconds) for source in chosen]
        seconds = min(clip.seconds for clip in read)
        clips = [self._shaped(clip, seconds) for clip in read]
        owners: list[Sequence[str]] = list(systems.values())
        if spoil:
            victim = self.random_stream.randrange(len(clips))
            clips.append(spoilt(clips[victim], self.random_stream.getrandbits(32)))
            chosen.append(chosen[victim])
            owners.append([])
        files = self._write_together(clips, chosen, owners, prompt)
        found = {name: file for file, names in zip(files, owners, strict=True) for name in names}
        return found | ({CLEAN: files[victim], SPOILT: files[-1]} if spoil else {})

    def _write_together(
        self, clips: Sequence[Clip], sources: Sequence[Source], owners: Sequence[Sequence[str]], prompt: str
    ) -> list[str]:
        """Write clips that are heard against each other, equally loud; return their files."""
        levels = [
            measure(clip, f"{source.path} for prompt {prompt!r}")
            for clip, source in zip(clips, sources, strict=True)
        ]
        files = []
        gains = self._gains(levels)
        for clip, source, names, level, gain in zip(clips, sources, owners, levels, gains, strict=True):
            if self.options.audio != "flac":  # formats with losses change the loudness a little
                gain += level.loudness + gain - self._heard(amplified(clip, gain)).loudness
            file = self._write_clip(amplified(clip, gain))
            heard = measure(read_clip(self.folder / file))
            self.key_clips[file] = KeyClip(
                systems=sorted(names),
                source=str(source.path),
                source_sha256=source.sha256,
                generator=source.generator,
                candidate=source.candidate,
                sha256=sha256_file(self.folder / file),
                gain=gain,
                loudness=heard.loudness,
                peak=heard.peak,
            )
            files.append(file)
        return files

    def _heard(self, clip: Clip) -> Level:
        """Return the level of a clip after encoding."""
        with io.BytesIO(encode(clip, self.options.audio)) as data:
            frames, rate = soundfile.read(data, dtype="float32", always_2d=True)
        return measure(Clip(torch.from_numpy(frames.T.copy()), rate))

    def reference(self, path: Path) -> str:
        """Write a reference clip; return its file."""
        clip = self._shaped(read_clip(path, LONGEST_REFERENCE), LONGEST_REFERENCE)
        (gain,) = self._gains([measure(clip, f"the reference {path}")])
        return self._write_clip(amplified(clip, gain))

    def sound(self, clip: Clip) -> str:
        """Write the sound of a check, always without loss and in stereo; return its file."""
        (gain,) = self._gains([measure(clip)])
        return self._write(encode(amplified(clip, gain), "flac"), "flac")

    def _shaped(self, clip: Clip, seconds: float) -> Clip:
        return shaped(clip, self.options.sample_rate, self.channels, seconds)

    def _gains(self, levels: Sequence[Level]) -> list[float]:
        return common_gains(levels, self.options.loudness, self.options.ceiling)

    def _write_clip(self, clip: Clip) -> str:
        file = self._write(encode(clip, self.options.audio), self.options.audio)
        self.clips[file] = StudyClip(
            round(clip.seconds, 4), outline_of(clip) if self.options.waveforms else []
        )
        return file

    def _write(self, data: bytes, kind: str) -> str:
        file = f"{self.random_stream.getrandbits(64):016x}.{kind}"
        write_bytes(self.folder / file, data)
        return file
