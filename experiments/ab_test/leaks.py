"""What in a blinded folder tells which system made a clip: names in texts, in file names, in the bytes of files."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from experiments.ab_test.study import Key, KeyClip

_LONG = 6  # bytes by chance equal to a shorter name are to be expected in many megabytes of audio


def secrets_of(systems: Iterable[str], clips: Iterable[KeyClip]) -> set[str]:
    """Return what must not appear: names of systems and generators, hashes and paths of the sources."""
    found = set(systems)
    for clip in clips:
        found |= {clip.generator, clip.source, clip.source_sha256}
    return found - {""}


def secrets_of_key(key: Key) -> set[str]:
    """Return what must not appear of the key of a study."""
    return secrets_of(key.systems, key.clips.values()) | set(key.systems.values())


def leaks_in_texts(texts: Mapping[str, str], secrets: Iterable[str]) -> list[str]:
    """Return a finding for each secret that stands as words of its own in a text; texts by where they are."""
    found = []
    for secret in sorted(secrets):
        words = re.compile(rf"(?<![a-z0-9]){re.escape(secret.lower())}(?![a-z0-9])")
        found += [f"{where} holds {secret!r}" for where, text in texts.items() if words.search(text.lower())]
    return found


def leaks_in_bytes(path: Path, secrets: Iterable[str]) -> list[str]:
    """Return a finding for each secret of six letters or more that stands anywhere in the bytes of a file."""
    data = path.read_bytes().lower()
    long = [secret for secret in sorted(secrets) if len(secret) >= _LONG]
    return [f"{path.name} holds {secret!r}" for secret in long if secret.lower().encode() in data]
