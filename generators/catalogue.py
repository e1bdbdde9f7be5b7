"""The generators that are known by name, and what is known of them: one table for code, command line and docs.

    python -m generators list

``--generator`` takes these names; other hub ids and folders of the same kinds need no row.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class KnownGenerator:
    """A row of the table.

    Attributes
    ----------
    name
        What ``--generator`` takes.
    backend
        What runs it.
    accepts
        Parts of a prompt that it conditions on.
    seconds
        Longest clip, s; None if that is a matter of the files.
    audio
        Sample rate and channels.
    licence
        Licence of the weights.
    parameters
        Number of parameters of the whole model, codec and text encoder included; 0 if there is none.
    shipped
        Place among the files of the project, if it ships with them.
    """

    name: str
    backend: str
    accepts: tuple[str, ...]
    seconds: float | None
    audio: str
    licence: str
    parameters: float
    shipped: str = ""

    @property
    def source(self) -> str:
        """Where it lies: ``asset:...`` ships with the project, ``hub:...`` is downloaded; empty if its name says it."""
        if self.backend == "folder":
            return ""
        return f"asset:{self.shipped}" if self.shipped else f"hub:{self.name}"


_TEXT = ("text",)
_STABILITY, _META = "Stability AI Community License", "CC-BY-NC 4.0"


def _musicgen(size: str, audio: str, parameters: float) -> KnownGenerator:
    name, accepts = f"facebook/musicgen-{size}", ("text", "reference") if "melody" in size else _TEXT
    return KnownGenerator(name, "transformers", accepts, 30.0, audio, _META, parameters)


def _diffusion(
    name: str, seconds: float, audio: str, licence: str, parameters: float, backend: str = "diffusers"
) -> KnownGenerator:
    return KnownGenerator(name, backend, _TEXT, seconds, audio, licence, parameters)


def _ace_step(kind: str) -> KnownGenerator:
    name, accepts = f"ACE-Step/acestep-v15-{kind}-diffusers", ("text", "lyrics", "reference")
    return KnownGenerator(name, "diffusers", accepts, 600.0, "48 kHz stereo", "MIT", 5.54e9)


def _lab(name: str, backend: str, parameters: float, shipped: str) -> KnownGenerator:
    return KnownGenerator(name, backend, _TEXT, 5.0, "16 kHz mono", "Apache-2.0", parameters, shipped)


_FILES = "that of the files"
CATALOGUE = (
    _lab("lab-musicgen", "transformers", 5.84e6, "lab/musicgen"),
    _lab("lab-stable-audio", "diffusers", 4.04e6, "lab/stable_audio"),
    _musicgen("small", "32 kHz mono", 587e6),
    _musicgen("medium", "32 kHz mono", 2.01e9),
    _musicgen("large", "32 kHz mono", 3.42e9),
    _musicgen("stereo-small", "32 kHz stereo", 604e6),
    _musicgen("stereo-medium", "32 kHz stereo", 2.03e9),
    _musicgen("stereo-large", "32 kHz stereo", 3.46e9),
    _musicgen("melody", "32 kHz mono", 1.55e9),
    _musicgen("melody-large", "32 kHz mono", 2.62e9),
    _musicgen("stereo-melody", "32 kHz stereo", 1.58e9),
    _musicgen("stereo-melody-large", "32 kHz stereo", 2.65e9),
    _diffusion("stabilityai/stable-audio-open-1.0", 2**21 / 44_100, "44.1 kHz stereo", _STABILITY, 1.32e9),
    _diffusion(
        "stabilityai/stable-audio-open-small",
        2**19 / 44_100,
        "44.1 kHz stereo",
        _STABILITY,
        497e6,
        "stable-audio-tools",
    ),
    _diffusion("stabilityai/stable-audio-3-medium", 384.0, "44.1 kHz stereo", _STABILITY, 2.6e9),
    _ace_step("xl-turbo"),
    _ace_step("xl-base"),
    _diffusion("cvssp/audioldm2-music", 10.24, "16 kHz mono", "CC-BY-NC-SA 4.0", 1.1e9),
    KnownGenerator("folder:PATH", "folder", ("text", "lyrics", "reference"), None, _FILES, _FILES, 0),
)


@dataclass(frozen=True)
class ListGenerators:
    """Print the generators that are known by name; --generator also takes hub ids and folders of the same kinds."""


def main(config: ListGenerators) -> None:
    """Print the table."""
    print(catalogue_table())


def catalogue_table() -> str:
    """Return the table as Markdown, a row for each generator, without a newline at the end."""
    header = ["id", "backend", "accepts", "longest clip", "sample rate", "licence", "parameters"]
    rows = [header, *map(_cells, CATALOGUE)]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _cells(known: KnownGenerator) -> list[str]:
    longest = _FILES if known.seconds is None else f"{math.floor(10 * known.seconds) / 10:g} s"
    unit, sign = (1e9, "B") if known.parameters >= 1e9 else (1e6, "M")
    parameters = f"{known.parameters / unit:.3g} {sign}" if known.parameters else "none"
    accepts = ", ".join(known.accepts)
    return [f"`{known.name}`", known.backend, accepts, longest, known.audio, known.licence, parameters]
