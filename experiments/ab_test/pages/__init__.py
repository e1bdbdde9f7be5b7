"""The page that raters see: one HTML file, one style sheet, plain scripts; the same with and without a server."""

import html
from pathlib import Path

_FOLDER = Path(__file__).parent
SCRIPTS = ("player.js", "answering.js", "study.js")
#: by the name under which a page loads them; the server's page talks to the server, the static one to the browser
PAGE_FILES = {name: _FOLDER / name for name in ("study.css", "server.js", "static.js", *SCRIPTS)}


def study_page(title: str, first_scripts: tuple[str, ...] = ("server.js",)) -> str:
    """Return the page.

    Parameters
    ----------
    title
        Title of the study.
    first_scripts
        Those that say where turns come from and answers go; they are loaded first.
    """
    page = (_FOLDER / "study.html").read_text(encoding="utf-8")
    tags = "\n".join(f'<script src="page/{name}" defer></script>' for name in (*first_scripts, *SCRIPTS))
    return page.replace("{{title}}", html.escape(title)).replace("{{scripts}}", tags)
