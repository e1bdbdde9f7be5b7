"""Clips that any system has made, as a generator: nothing is computed, candidate k of a prompt is its k-th clip.

The folder lists its clips as `generators.recorded.clip_listing` says.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import soundfile

from generators.protocol import Generator, Job, Sample, samples_of
from generators.recorded.clip_listing import ClipListing, ListedClip
from music.clips import ClipHeader, read_clip, read_header
from music.errors import InputError
from music.hashing import canonical_json, sha256_file, sha256_text


class AudioFolder(Generator):
    """A folder of clips; see `generators.protocol.Generator`.

    It accepts every part of a prompt, as nobody knows here what the system behind it has looked at. A sample depends
    on the candidate index instead of the seed.

    Parameters
    ----------
    name
        Name that it was asked for by.
    folder
        Folder of the clips and their list.

    Raises
    ------
    InputError
        If the list or a clip is not usable, or the clips differ in sample rate or channels.
    """

    accepts = frozenset({"text", "lyrics", "reference"})

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self._folder = folder
        self._listing = ClipListing(folder)
        self._headers = _headers(folder, self._listing)
        first = self._headers[self._listing.clips[0].file_name]
        self.sample_rate = first.sample_rate
        self.channels = first.channels
        self.max_seconds = max(header.samples for header in self._headers.values()) / self.sample_rate
        self.spec: Mapping[str, Any] = {
            "backend": "folder",
            "content": _content(folder, self._listing),
            "systems": sorted({clip.system for clip in self._listing.clips if clip.system}),
            "versions": {"libsndfile": soundfile.__libsndfile_version__},
        }

    def batches(self, jobs: Sequence[Job], seconds: float) -> list[list[Job]]:
        """Split jobs into single clips, if all of them are there; see `generators.protocol.Generator.batches`.

        Raises
        ------
        InputError
            If there is no such clip, or it is shorter.
        """
        samples = samples_of(seconds, self)
        clips = {job.prompt.id: self._listing.of(job.prompt) for job in jobs}
        for job in jobs:
            found = clips[job.prompt.id]
            if job.candidate >= len(found):
                raise InputError(
                    f"{self._listing.file} lists {len(found)} clips of prompt {job.prompt.id!r}, too few for "
                    f"candidate {job.candidate} (they count from 0): ask for a lower --n, or add clips "
                    "and name another --output if the pool is there already"
                )
            clip = found[job.candidate]
            self._check_length(clip, self._headers[clip.file_name].samples, samples)
        return [[job] for job in jobs]

    def make(self, batch: Sequence[Job], seconds: float) -> Iterator[Sample]:
        """Yield the clip of each job, cut to `seconds`; see `generators.protocol.Generator.make`.

        Raises
        ------
        InputError
            If a file is shorter than it announces.
        """
        samples = samples_of(seconds, self)
        for job in batch:
            listed = self._listing.of(job.prompt)[job.candidate]
            clip = read_clip(self._folder / listed.file_name, seconds)
            self._check_length(listed, clip.samples, samples)  # what an MP3 announces may be wrong
            yield Sample(job, clip, None, listed.origin)

    def _check_length(self, clip: ListedClip, found: int, wanted: int) -> None:
        if found < wanted:
            seconds = f"{found / self.sample_rate:g} s, --seconds asks for {wanted / self.sample_rate:g}"
            raise InputError(f"{clip.place}: {self._folder / clip.file_name} is too short: {seconds}")


def load_audio_folder(name: str, source: str, device: str, dtype: str) -> AudioFolder:
    """Return a folder of clips as a generator; device and numeric type mean nothing to it."""
    return AudioFolder(name, Path(os.path.expanduser(source)))


def _headers(folder: Path, listing: ClipListing) -> dict[str, ClipHeader]:
    """Return what each listed file announces; `InputError` unless they agree in sample rate and channels."""
    headers: dict[str, ClipHeader] = {}
    for clip in listing.clips:
        try:
            header = headers[clip.file_name] = read_header(folder / clip.file_name)
        except InputError as error:
            raise InputError(f"{clip.place}: {error}") from error
        first = headers[listing.clips[0].file_name]
        if (header.sample_rate, header.channels) != (first.sample_rate, first.channels):
            raise InputError(
                f"{clip.place}: {clip.file_name} has {_format(header)}, "
                f"{listing.clips[0].file_name} has {_format(first)}: the clips of a folder must agree"
            )
        if header.channels > 2:
            raise InputError(
                f"{clip.place}: {clip.file_name} has {_format(header)}, expected 1 or 2 channels"
            )
    return headers


def _format(header: ClipHeader) -> str:
    return f"{header.sample_rate} Hz, {header.channels} channel{'s' if header.channels > 1 else ''}"


def _content(folder: Path, listing: ClipListing) -> str:
    """Return one SHA-256 over the bytes of the listed clips and what the list says of them."""
    hashes = {name: sha256_file(folder / name) for name in {clip.file_name for clip in listing.clips}}
    rows = [
        [hashes[clip.file_name], clip.file_name, clip.prompt_id, clip.text, clip.candidate, clip.system]
        for clip in listing.clips
    ]
    return sha256_text(canonical_json(rows))
