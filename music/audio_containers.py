"""What the containers of audio files say that libsndfile does not pass on: whether the sound breaks off, its length.

libsndfile reads what is there of a file that was cut, as if that were all, and estimates the length of an MP3 that
does not tell it, often by far. Here a file is held to what it promises; one that promises nothing is read to its end.
"""

from __future__ import annotations

import os
import re
import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple


class _Chunks(NamedTuple):
    """How a format stores its chunks: where the first begins, the header of each, and what holds the sound."""

    first: int
    header: str  # name and size, for `struct`
    sound: bytes
    alignment: int = 1
    counted: int = 0  # bytes of its header that the size of a chunk includes


_W64_SOUND = b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"
_CHUNKED = {
    b"RIFF": _Chunks(12, "<4sI", b"data", alignment=2),
    b"RIFX": _Chunks(12, ">4sI", b"data", alignment=2),
    b"RF64": _Chunks(12, "<4sI", b"data", alignment=2),
    b"FORM": _Chunks(12, ">4sI", b"SSND", alignment=2),
    b"caff": _Chunks(8, ">4sq", b"data"),
    b"riff": _Chunks(40, "<16sq", _W64_SOUND, alignment=8, counted=24),
}
_AU = {b".snd": ">II", b"dns.": "<II"}  # offset and size of the sound
_MOST_CHUNKS = 1000  # a damaged file may hold endless empty ones

_OGG_PAGE = struct.Struct("<4sBBqIIIB")
_LONGEST_PAGE = _OGG_PAGE.size + 255 + 255 * 255  # bytes
_LAST_PAGE = 4  # flag of the last page of a stream

_MP3_FRAME = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb][\x10-\xef]")  # MPEG 1, 2 or 2.5 of layer III
_SIDE_INFO = {
    (True, False): 32,
    (True, True): 17,
    (False, False): 17,
    (False, True): 9,
}  # (MPEG 1, mono): bytes
_FARTHEST_FRAME = 1 << 16  # bytes of junk before it at most
_STRETCH = 64  # more than the longest frame is longer than the shortest
_ID3V1 = 128  # bytes

_FOREIGN = (  # what stands at which place in files that libsndfile does not decode
    (4, b"ftyp", "MPEG-4 audio or video (m4a, mp4, AAC)"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "Windows Media (wma, asf)"),
    (0, b"\x1a\x45\xdf\xa3", "Matroska or WebM (mka, webm)"),
    (0, b"\xff\xf1", "AAC"),
    (0, b"\xff\xf9", "AAC"),
    (0, b"ADIF", "AAC"),
    (0, b"#!AMR", "AMR"),
    (0, b"wvpk", "WavPack"),
    (0, b"MAC ", "Monkey's Audio (ape)"),
    (0, b"DSD ", "DSD (dsf)"),
    (0, b"MThd", "MIDI, which holds notes and no sound"),
)


def missing_sound(path: Path) -> str:
    """Return what is missing of the sound that a file promises; an empty text if it is whole or promises nothing.

    WAV, RF64, W64, AIFF, CAF, AU and most MP3 tell the size of their sound, and the last page of Ogg is marked. What an
    MP3 or a FLAC lacks may be seen only by decoding it.
    """
    with open(path, "rb") as file:
        _skip_id3(file)
        begin = file.tell()
        magic = file.read(4)
        file.seek(begin)
        if magic in _CHUNKED:
            return _missing_bytes(file, *_place_of_sound(file, _CHUNKED[magic]))
        if magic in _AU:
            offset, size = struct.unpack(_AU[magic], file.read(12)[4:].ljust(8, b"\xff"))
            return _missing_bytes(file, begin + offset, size)
        if _MP3_FRAME.match(magic):
            frames, size = _frames_and_bytes(file)
            return _missing_bytes(file, 0, size, spared=size // frames) if frames and size else ""
        if magic == b"OggS" and not _ends_with_last_page(file):
            return "its stream breaks off before the page that is marked as the last"
    return ""


def mp3_tells_length(path: Path) -> bool:
    """Tell whether the first frame of an MP3 holds the number of frames (Xing, Info)."""
    with open(path, "rb") as file:
        _skip_id3(file)
        return _frames_and_bytes(file)[0] is not None


def _frames_and_bytes(file: BinaryIO) -> tuple[int | None, int | None]:
    """Return what the first frame of an MP3 says that there are."""
    begin = file.read(_FARTHEST_FRAME)
    found = _MP3_FRAME.search(begin)
    frame = begin[found.start() :][:64].ljust(64, b"\0") if found else bytes(64)
    tag = 4 + _SIDE_INFO[frame[1] & 0x08 != 0, frame[3] >> 6 == 3]
    name, flags, first, second = struct.unpack_from(">4sIII", frame, tag)
    if name not in (b"Xing", b"Info"):
        return None, None
    frames = first if flags & 1 else None
    return frames, (second if flags & 1 else first) if flags & 2 else None


class StretchedFile:
    """A file that seems many times as long as it is: libsndfile estimates the length of an MP3 by it.

    It stops at its estimate, where much of an MP3 of changing bitrate may be to come; so it reads on to the end.
    """

    def __init__(self, path: Path) -> None:
        self._data = path.read_bytes()
        self._length, self._place = _STRETCH * len(self._data), 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move, as in any file."""
        self._place = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._length}[whence]
        return self._place

    def tell(self) -> int:
        """Return the place."""
        return self._place

    @property
    def is_read(self) -> bool:
        """Whether all that is there has been read."""
        return self._place >= len(self._data)

    def read(self, size: int) -> bytes:
        """Return what is there; zeros where a tag (ID3v1) is looked for, and nothing between."""
        found = self._data[self._place : self._place + size]
        if self._place >= self._length - _ID3V1:
            found = bytes(min(size, self._length - self._place))
        self._place += len(found)
        return found


def foreign_kind(path: Path) -> str:
    """Return what a file is that libsndfile does not decode; an empty text if that cannot be told."""
    with open(path, "rb") as file:
        _skip_id3(file)
        begin = file.read(256)
    if not begin:
        return "empty"
    for place, mark, kind in _FOREIGN:
        if begin[place:].startswith(mark):
            return kind
    text = begin.decode("utf-8", "ignore")
    if len(text.encode()) >= len(begin) - 3 and all(sign.isprintable() or sign.isspace() for sign in text):
        line = " ".join(text.split())
        return f"text and no audio: {line[:57] + '...' if len(line) > 60 else line!r}"
    return ""


def _skip_id3(file: BinaryIO) -> None:
    """Move behind the tags (ID3v2) that a file begins with."""
    while True:
        place = file.tell()
        head = file.read(10)
        if len(head) < 10 or head[:3] != b"ID3":
            file.seek(place)
            return
        size = sum((byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
        file.seek(size + (10 if head[5] & 0x10 else 0), os.SEEK_CUR)


def _place_of_sound(file: BinaryIO, chunks: _Chunks) -> tuple[int, int]:
    """Return where the sound begins, and how many bytes it is said to have; -1 if that is unknown."""
    file.seek(chunks.first, os.SEEK_CUR)
    long_size = -1
    for _ in range(_MOST_CHUNKS):
        head = file.read(struct.calcsize(chunks.header))
        if len(head) < struct.calcsize(chunks.header):
            break
        name, size = struct.unpack(chunks.header, head)
        begin, size = file.tell(), size - chunks.counted
        if name == chunks.sound:
            return begin, long_size if size == 2**32 - 1 else size
        if name == b"ds64":
            long_size = struct.unpack("<q", file.read(16)[8:].ljust(8, b"\xff"))[0] or -1
        if size < 0:
            break
        file.seek(begin + -(-size // chunks.alignment) * chunks.alignment)
    return 0, -1


def _missing_bytes(file: BinaryIO, begin: int, size: int, spared: int = 1) -> str:
    """Return what is missing of sound of a size; a pad byte, or a frame of an MP3, may be counted and left out."""
    there = max(0, os.fstat(file.fileno()).st_size - begin)
    if size < 0 or _is_unknown(size) or size - there <= spared:
        return ""
    return f"it promises {size} bytes of sound and holds {there}"


def _is_unknown(size: int) -> bool:
    """Tell whether a size is what programs write before they know it, into a pipe or until a recording ends."""
    return abs(size - 2**31) <= 2**16 or 0 < 2**32 - size <= 2**16 or size >= 2**62


def _ends_with_last_page(file: BinaryIO) -> bool:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 2 * _LONGEST_PAGE))
    tail = file.read()
    place = tail.rfind(b"OggS\0")
    if place < 0 or len(tail) < place + _OGG_PAGE.size:
        return False
    *_, flags, _, _, _, _, segments = _OGG_PAGE.unpack_from(tail, place)
    body = place + _OGG_PAGE.size + segments
    whole = len(tail) >= body + sum(tail[place + _OGG_PAGE.size : body]) and len(tail) >= body
    return whole and bool(flags & _LAST_PAGE)
