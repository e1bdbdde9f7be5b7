"""What one installs from agrees with itself: requirements and messages, the container, the citation."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from music.errors import InputError
from reward.cmi_rm.muq_import import import_muq

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("music", "generators", "reward", "scaling", "rlhf", "experiments")
INSTRUCTION = re.compile(r"^(FROM|ARG|USER|WORKDIR|COPY|RUN|CMD) (.*)$", re.MULTILINE)


@pytest.mark.parametrize("library", ["muq", "torchaudio"])
def test_a_missing_muq_is_named_with_the_line_that_installs_it(library: str, monkeypatch: pytest.MonkeyPatch):
    find = importlib.util.find_spec
    monkeypatch.delitem(sys.modules, library, raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == library else find(name))
    line = "pip install --no-deps " + " ".join(reversed(pins((ROOT / "requirements/nodeps.txt").read_text())))
    with pytest.raises(InputError, match=f"^{library} is not installed: {re.escape(line)}$"):
        import_muq()


def pins(text: str) -> list[str]:
    """Return the requirements of a text that name one version."""
    return re.findall(r"^[\w-]+==[\w.]+$", text, re.MULTILINE)


def test_messages_name_the_required_versions():
    """Who installed a wheel has no `requirements/`: messages name what is in it, no more and no less."""
    required = {pin for path in (ROOT / "requirements").glob("*.txt") for pin in pins(path.read_text())}
    named = {
        pin
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        for line in re.findall(r"pip install --no-deps ([^\"']+)", path.read_text(encoding="utf-8"))
        for pin in line.split()
    }
    assert named == required


@pytest.fixture(scope="module")
def dockerfile() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    return INSTRUCTION.findall(text)


def test_the_container_is_built_from_files_that_exist(dockerfile: list[tuple[str, str]]):
    ignored = (ROOT / ".dockerignore").read_text().split()
    sources = [
        word
        for name, words in dockerfile
        if name == "COPY"
        for word in words.split()[:-1]
        if not word.startswith("--")
    ]
    assert sources
    assert all((ROOT / source).exists() and source not in ignored for source in sources)


def test_the_container_stands_in_for_every_package(dockerfile: list[tuple[str, str]]):
    made = {name for _, words in dockerfile for name in re.findall(r"(\w+)/__init__\.py", words)}
    assert made == set(PACKAGES)


def test_the_container_runs_what_the_makefile_has(dockerfile: list[tuple[str, str]]):
    assert dockerfile[-1] == ("CMD", '["make", "demo"]')
    commands = [command for name, words in dockerfile if name == "RUN" for command in words.split("&&")]
    targets = [words[1] for words in map(str.split, commands) if words[0] == "make"]
    assert targets
    for target in ["demo", *targets]:
        done = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_the_citation_is_complete():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation.keys() >= {"cff-version", "message", "title", "authors", "version", "license"}
    assert f'\nversion = "{citation["version"]}"\n' in (ROOT / "pyproject.toml").read_text()
    assert f'\nlicense = "{citation["license"]}"\n' in (ROOT / "pyproject.toml").read_text()
    assert all(reference.keys() >= {"type", "title", "authors"} for reference in citation["references"])
