"""A study for other tools: webMUSHRA and listen-and-rate.

Neither asks what our page asks. webMUSHRA compares two clips only with a reference among them, so a trial becomes two
pages on which both clips are rated from 1 to 5, one for each question: the higher one is preferred. listen-and-rate
compares two systems on all prompts and shows no text beside them, so each two systems become a test of their own, about
musicality alone. Neither balances orders. Practice, catch and identical trials stay behind.
"""

import html
import io
import itertools
import json
import os
from pathlib import Path
from typing import Any

import soundfile
import yaml

from experiments.ab_test.study import AUDIO, BLINDED, Key, Study
from music.clips import read_clip
from music.durable import write_bytes, write_text
from music.hashing import path_name

_QUESTIONS = {
    "alignment": "How well does each clip follow the request, whether or not you like it?",
    "musicality": "How good is each clip as music, whatever the request was?",
}
_SCALE = ("bad", "poor", "fair", "good", "excellent")


def write_webmushra(folder: Path, study: Study, key: Key, output: Path) -> int:
    """Write ``configs/<study>.yaml`` and its audio as they lie in webMUSHRA's root folder; return how many pairs.

    The names of the stimuli in its results are those of our files, which the key resolves.
    """
    place = Path("configs") / "resources" / study.id
    files = _WavFiles(folder)
    pages: list[Any] = ["random"]
    response = [{"value": value, "label": label} for value, label in enumerate(_SCALE, 1)]
    pairs = _pairs(study, key)
    for name in pairs:
        trial = study.trials[name]
        prompt = study.prompts[trial.prompt]
        stimuli = {
            Path(clip).stem: str(place / files.write(clip, output / place))
            for clip in (trial.first, trial.second)
        }
        request = f"<p><b>{html.escape(prompt.text)}</b></p>"
        if prompt.lyrics:
            request += f"<pre>{html.escape(prompt.lyrics)}</pre>"
        if prompt.reference:
            request += f'<p><audio controls src="{place / files.write(prompt.reference, output / place)}"></audio></p>'
        for head, question in _QUESTIONS.items():
            page: dict[str, Any] = {"type": "likert_multi_stimulus", "id": f"{name}-{head}"}
            page |= {"name": study.settings.title, "content": f"{request}<p>{question}</p>"}
            page |= {"mustRate": True, "mustPlayback": "processUpdate"}  # both must have been started
            pages.append({**page, "stimuli": stimuli, "response": response})
    consent = "".join(f"<p>{html.escape(part)}</p>" for part in study.settings.consent.split("\n\n"))
    config = {
        "testname": study.settings.title,
        "testId": study.id,
        "bufferSize": 2048,
        "stopOnErrors": True,
        "showButtonPreviousPage": False,
        "remoteService": "service/write.php",
        "pages": [
            {"type": "generic", "id": "consent", "name": study.settings.title, "content": consent},
            {
                "type": "volume",
                "id": "volume",
                "name": "Volume",
                "content": "Set the volume so that this noise is clear and comfortable.",
                "stimulus": str(place / files.write(study.volume, output / place)),
                "defaultVolume": 0.5,
            },
            pages,
            {
                "type": "finish",
                "name": "Thank you",
                "content": "",
                "showResults": False,
                "writeResults": True,
            },
        ],
    }
    # JSON on one line is YAML that webMUSHRA's parser reads; it knows neither aliases nor nested lists in blocks
    write_text(output / "configs" / f"{study.id}.yaml", json.dumps(config) + "\n")
    return len(pairs)


def write_listen_and_rate(folder: Path, study: Study, key: Key, output: Path) -> int:
    """Write a folder with ``config.yaml`` and two folders of clips for each two systems; return how many pairs.

    Its paths are relative to that folder, where listen-and-rate is to be started. The names of the systems stand in the
    configuration, which it keeps from its raters.
    """
    pairs, files = _pairs(study, key), _WavFiles(folder)
    for number, (first, second) in enumerate(itertools.combinations(key.systems, 2), start=1):
        place = output / f"test-{number:02d}"
        met = [name for name in pairs if {key.trials[name].first, key.trials[name].second} == {first, second}]
        for name in met:
            told, trial = key.trials[name], study.trials[name]
            clips = dict(zip((told.first, told.second), (trial.first, trial.second), strict=True))
            for side, system in (("one", first), ("two", second)):
                files.write(clips[system], place / "stimuli" / side, path_name(key.prompts[trial.prompt].id))
        if met:
            systems = [
                {"path": "./stimuli/one", "system": first},
                {"path": "./stimuli/two", "system": second},
            ]
            config = {
                "test_type": "ab",
                "title": study.settings.title,
                "instructions": "Listen to both clips, then choose the one that is the better music.",
                "output": {"format": "csv", "path": "./results/"},
                "allow_tie": study.settings.ties,
                "stimuli_dirs": {"systems": systems},
            }
            write_text(place / "config.yaml", yaml.safe_dump(config, allow_unicode=True, sort_keys=False))
    return len(pairs)


def _pairs(study: Study, key: Key) -> list[str]:
    """Return the trials of two systems, but for those in which both chose the same clip."""
    pairs = [name for name, told in key.trials.items() if told.kind == "pair"]
    return [name for name in pairs if study.trials[name].first != study.trials[name].second]


class _WavFiles:
    """The clips of a study as WAV of 16 bits, which both tools read; each is written once, whatever was there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / BLINDED / AUDIO
        self._written: set[Path] = set()

    def write(self, clip: str, place: Path, name: str = "") -> str:
        """Write a clip into a folder, under its own name or another, and return the name."""
        target = place / f"{name or Path(clip).stem}.wav"
        if target not in self._written:
            read, sound = read_clip(self._folder / clip), io.BytesIO()
            soundfile.write(sound, read.waveform.T.numpy(), read.sample_rate, format="WAV", subtype="PCM_16")
            write_bytes(target, sound.getvalue())
            os.utime(target, (0, 0))
            self._written.add(target)
        return target.name
