"""Reports as one web page that loads nothing from anywhere and follows light and dark.

``templates/page.html.j2`` holds the style that all of them share and the facts of the run at their end. A report is a
``templates/report.html.j2`` of its own package, which extends it; drawings come from `music.drawing`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from music.durable import write_text

if TYPE_CHECKING:
    from jinja2 import Template


def write_page(path: Path, package: str, context: Mapping[str, Any]) -> None:
    """Write the report of a package.

    Parameters
    ----------
    path
        Path of the page.
    package
        Name of the package in whose folder ``templates/report.html.j2`` lies.
    context
        What the template shows, among it `facts`: what ran, label and value, in order. Text is escaped.

    Raises
    ------
    InputError
        If the page cannot be written.
    """
    write_text(path, page_template(package, "report.html.j2").render(**context))


def page_template(package: str, name: str) -> "Template":
    """Return a template in the folder ``templates`` of a package, which may extend ``page.html.j2``."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    loader = ChoiceLoader([PackageLoader(package), PackageLoader("music")])
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    environment.filters["signed"] = lambda value, digits: _number(f"{value:+.{digits}f}")
    environment.filters["plain"] = lambda value, digits: _number(f"{value:.{digits}f}")
    return environment.get_template(name)


def _number(text: str) -> str:
    return text.replace("-", "−")
