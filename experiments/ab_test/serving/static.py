"""Write a study as a folder that needs no server: put it on any web space, or open its page with a double click.

    python -m experiments.ab_test static runs/listening_test/blinded --output runs/listening_page

The page is that of `serve`. Answers stay in the rater's browser until they download them as a file of JSON Lines,
which they send to you. Put the files into a folder: ``analyze --answers FOLDER`` reads them. ``index.html?place=3``
gives the fourth schedule; without it one is drawn, so that orders are balanced by chance alone. Only the page checks
that clips were heard long enough. Participant numbers are not kept, and a completion code could be read in the page:
each rater is shown the beginning of their own id instead, which their answers hold.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from experiments.ab_test.pages import PAGE_FILES, study_page
from experiments.ab_test.serving.shown import described_turn, introduction
from experiments.ab_test.study import AUDIO, LISTENING, Study, check_audio, read_study
from music.durable import write_bytes, write_text, writing
from music.errors import InputError
from music.paths import exists

_SCRIPTS = ("data.js", "static.js")


@dataclass(frozen=True)
class Static:
    """Write a listening test as a folder that needs no server.

    Parameters
    ----------
    study
        Blinded folder of the study.
    output
        Folder for the page.
    """

    POSITIONALS: ClassVar = ("study",)
    LIBRARIES: ClassVar = (LISTENING,)

    study: Path
    output: Path = Path("runs/listening_page")


def main(options: Static) -> None:
    """Write page, data and audio."""
    study = read_study(options.study)
    check_audio(options.study, study)
    if exists(options.output / "index.html"):
        raise InputError(f"{options.output} holds a page already: choose another --output folder")
    page, audio = options.output / "page", options.output / AUDIO
    with writing(options.output):
        for name in sorted(study.files):
            write_bytes(audio / name, (options.study / AUDIO / name).read_bytes())
            os.utime(audio / name, (0, 0))
    for name, path in PAGE_FILES.items():
        if name != "server.js":
            write_text(page / name, path.read_text(encoding="utf-8"))
    write_text(page / "data.js", f"const DATA = {json.dumps(data_of(study))};\n")
    write_text(options.output / "index.html", study_page(study.settings.title, _SCRIPTS))
    print(f"Open {options.output / 'index.html'}, or put the folder on any web space")


def data_of(study: Study) -> dict[str, Any]:
    """Return what the page needs in place of a server."""
    turns = {(trial, swapped) for schedule in study.schedules for trial, swapped in schedule}
    return {
        "introduction": introduction(study),
        "schedules": study.schedules,
        "turns": {
            f"{trial}{swapped:d}": described_turn(study, (trial, swapped)) for trial, swapped in sorted(turns)
        },
    }
