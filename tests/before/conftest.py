"""A copy of what the version before has written, and its commands as they are typed."""

import json
import os
import runpy
import shutil
import sys
from importlib.metadata import Distribution
from pathlib import Path

import pytest

from reward.registry import SCORERS

DATA = Path(__file__).resolve().parent.parent / "data"
ROOT = DATA.parent.parent
WRITTEN = 1_700_000_000  # s since 1970, of all files


@pytest.fixture
def before(tmp_path, monkeypatch):
    """Return a copy of the files, with their towers, in which commands run.

    Versions of libraries are part of specs and hashes: those that the files were written with are said to be installed,
    so that what is tested is the project and not the libraries. What they call lab-cmi-rm is the lab's first reward.
    """
    folder = tmp_path / "before"
    shutil.copytree(DATA / "before", folder)
    for name in ("mulan-tiny", "muq-tiny", "xlm-roberta-tiny"):
        shutil.copytree(DATA / "scoring" / name, folder / "towers" / name)
    for path in folder.rglob("*"):
        os.utime(path, (WRITTEN, WRITTEN))  # a checkout keeps no times
    versions = json.loads((folder / "versions.json").read_text())
    installed = Distribution.version.fget
    monkeypatch.setattr(
        Distribution, "version", property(lambda found: versions.get(found.name, installed(found)))
    )
    monkeypatch.setitem(SCORERS, "lab-cmi-rm", SCORERS["lab-cmi-rm-first"])
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def command(monkeypatch, capsys):
    """Return what runs a command, a script or a module of the project, in this process, and gives what it prints."""

    def run(what, *options, ends=0):
        monkeypatch.setattr(sys, "argv", [what, *map(str, options)])
        with pytest.raises(SystemExit) as ended:
            _launch(what)
        told = capsys.readouterr()
        assert ended.value.code == ends, told.err
        return told.out + told.err

    return run


def _launch(what):
    if what.endswith(".py"):
        runpy.run_path(str(ROOT / what), run_name="__main__")
    else:
        runpy.run_module(what, run_name="__main__", alter_sys=True)
