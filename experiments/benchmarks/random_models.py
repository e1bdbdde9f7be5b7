"""Models of the published sizes with random weights: as fast as the true ones, and nothing to download."""

from generators.musicgen.sizes import MUSICGENS, random_musicgen
from generators.stable_audio.diffusers.sizes import STABLE_AUDIOS, random_stable_audio
from reward.cmi_rm.sizes import TOWERS, random_towers

TEXT = "a slow sad piano melody, no drums, recorded in an empty hall"

__all__ = [
    "MUSICGENS",
    "STABLE_AUDIOS",
    "TEXT",
    "TOWERS",
    "random_musicgen",
    "random_stable_audio",
    "random_towers",
]
