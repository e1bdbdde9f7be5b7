"""Pages: short where they must be, with links that lead somewhere, and messages that the code really prints."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ALL_PAGES, ROOT, anchors, links
from tests.web_pages import Tags

PACKAGES = ("music", "generators", "reward", "scaling", "rlhf", "experiments")
ERRORS = ("InputError", "ServiceError", "UnknownModelError", "UnreachableHubError")


def test_the_readme_stays_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: page.parent.name + "/" + page.name)
def test_links_lead_to_files_and_headings(page):
    for link in links(page):
        place, _, anchor = link.partition("#")
        if not place.startswith("http"):
            target = (page.parent / place).resolve() if place else page
            assert target.is_relative_to(ROOT), link
            assert target.is_file(), link
            assert not anchor or anchor in anchors(target), link


def test_the_site_is_built_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) >= 20
    for page in pages:
        tags = Tags(page.read_text(encoding="utf-8"))
        loaded = [tag.get("src") for kind in ("script", "img", "audio", "iframe") for tag in tags.of(kind)]
        loaded += [tag.get("href") for tag in tags.of("link") if tag.get("rel") != "canonical"]
        outside = [place for place in loaded if place and re.match(r"(https?:)?//", place)]
        assert not outside, page
    for sheet in tmp_path.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", sheet.read_text(encoding="utf-8")), (
            sheet
        )


def test_the_api_shows_what_it_names(tmp_path):
    names = re.findall(
        r"^::: ([\w.]+)$", (ROOT / "docs" / "api.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert len(names) > 20
    for name in names:
        found = [part for part in range(name.count(".") + 1) if is_module(name.rsplit(".", part)[0])]
        assert found, name


def is_module(name: str) -> bool:
    """Return whether a file or folder of the project is the module of that name."""
    place = ROOT.joinpath(*name.split("."))
    return place.with_suffix(".py").is_file() or (place / "__init__.py").is_file()


def test_messages_of_the_troubleshooting_page_are_those_of_the_code():
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    quoted = [two or one for two, one in re.findall(r"^### (?:``(.+)``|`(.+)`)$", page, re.MULTILINE)]
    assert len(quoted) > 40
    assert page.count("\n### ") == len(quoted)
    known = [
        message for name in PACKAGES for path in (ROOT / name).rglob("*.py") for message in messages(path)
    ]
    assert [one for one in quoted if not any(one in message for message in known)] == []


def messages(path: Path) -> list[str]:
    """Return the messages that a file raises for users, with … for each value."""
    calls = [
        node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)
    ]
    return [text_of(call.args[0]) for call in calls if getattr(call.func, "id", "") in ERRORS and call.args]


def text_of(node: ast.expr) -> str:
    """Return a text as far as the source has it."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) for part in node.values)
    if isinstance(node, ast.BinOp):
        return text_of(node.left) + text_of(node.right)
    return "…"
