"""Sample rates that a format of audio files can hold: MP3 and Opus know a few, FLAC nearly all."""

import io
from functools import cache

import numpy as np
import soundfile

from music.errors import InputError


def check_sample_rate(rate: int, container: str, subtype: str, name: str) -> None:
    """Check that a format can hold a sample rate.

    Parameters
    ----------
    rate
        Sample rate, Hz.
    container, subtype
        Format, as soundfile calls it.
    name
        What has this rate, for the message.

    Raises
    ------
    InputError
        If it cannot.
    """
    if not _can_hold(rate, container, subtype):
        kind = subtype if container == "OGG" else container
        raise InputError(f"{name} cannot be {rate} Hz, which {kind} does not hold: take 44100 or 48000, say")


@cache
def _can_hold(rate: int, container: str, subtype: str) -> bool:
    try:
        soundfile.write(io.BytesIO(), np.zeros(8, "float32"), rate, format=container, subtype=subtype)
    except (soundfile.SoundFileError, TypeError, ValueError, OverflowError):
        return False
    return True
