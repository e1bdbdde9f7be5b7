"""The generators that are known by name, and what is known of them: one table for code, command line and docs."""

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
    source
        Where the model lies: ``asset:...`` ships with the project, ``hub:...`` is downloaded; empty if the name
        itself says where.
    accepts
        What of a prompt it conditions on.
    seconds
        The longest clip, s; None if that is a matter of the files.
    audio
        Sample rate and channels.
    licence
        Of the weights.
    parameters
        Of the whole model, codec and text encoder included; 0 if there is none.
    """

    name: str
    backend: str
    source: str
    accepts: tuple[str, ...]
    seconds: float | None
    audio: str
    licence: str
    parameters: float


def _musicgen(size: str, audio: str, parameters: float) -> KnownGenerator:
    name, accepts = f"facebook/musicgen-{size}", ("text", "reference") if "melody" in size else ("text",)
    return KnownGenerator(
        name, "transformers", f"hub:{name}", accepts, 30.0, audio, "CC-BY-NC 4.0", parameters
    )


def _ace_step(kind: str) -> KnownGenerator:
    name, accepts = f"ACE-Step/acestep-v15-{kind}-diffusers", ("text", "lyrics", "reference")
    return KnownGenerator(name, "diffusers", f"hub:{name}", accepts, 600.0, "48 kHz stereo", "MIT", 5.54e9)


CATALOGUE = (
    KnownGenerator(
        "lab-musicgen",
        "transformers",
        "asset:lab/musicgen",
        ("text",),
        5.0,
        "16 kHz mono",
        "Apache-2.0",
        5.84e6,
    ),
    KnownGenerator(
        "lab-stable-audio",
        "diffusers",
        "asset:lab/stable_audio",
        ("text",),
        5.0,
        "16 kHz mono",
        "Apache-2.0",
        4.04e6,
    ),
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
    KnownGenerator(
        "stabilityai/stable-audio-open-1.0",
        "diffusers",
        "hub:stabilityai/stable-audio-open-1.0",
        ("text",),
        2**21 / 44_100,
        "44.1 kHz stereo",
        "Stability AI Community License",
        1.32e9,
    ),
    KnownGenerator(
        "stabilityai/stable-audio-open-small",
        "stable-audio-tools",
        "hub:stabilityai/stable-audio-open-small",
        ("text",),
        2**19 / 44_100,
        "44.1 kHz stereo",
        "Stability AI Community License",
        497e6,
    ),
    KnownGenerator(
        "stabilityai/stable-audio-3-medium",
        "diffusers",
        "hub:stabilityai/stable-audio-3-medium",
        ("text",),
        384.0,
        "44.1 kHz stereo",
        "Stability AI Community License",
        2.6e9,
    ),
    _ace_step("xl-turbo"),
    _ace_step("xl-base"),
    KnownGenerator(
        "cvssp/audioldm2-music",
        "diffusers",
        "hub:cvssp/audioldm2-music",
        ("text",),
        10.24,
        "16 kHz mono",
        "CC-BY-NC-SA 4.0",
        1.1e9,
    ),
    KnownGenerator(
        "folder:PATH",
        "folder",
        "",
        ("text", "lyrics", "reference"),
        None,
        "that of the files",
        "that of the files",
        0,
    ),
)


def catalogue_table() -> str:
    """Return the table as Markdown, a row a generator, without a newline at the end."""
    header = ["id", "backend", "accepts", "longest clip", "sample rate", "licence", "parameters"]
    rows = [header, *map(_cells, CATALOGUE)]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _cells(known: KnownGenerator) -> list[str]:
    longest = "that of the files" if known.seconds is None else f"{math.floor(10 * known.seconds) / 10:g} s"
    accepts = ", ".join(known.accepts)
    return [
        f"`{known.name}`",
        known.backend,
        accepts,
        longest,
        known.audio,
        known.licence,
        _count(known.parameters),
    ]


def _count(parameters: float) -> str:
    if not parameters:
        return "none"
    unit, sign = (1e9, "B") if parameters >= 1e9 else (1e6, "M")
    return f"{parameters / unit:.3g} {sign}"
