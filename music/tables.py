"""Tables: CSV for programs, Markdown and LaTeX for people."""

import csv
from collections.abc import Mapping, Sequence
from typing import Any

_QUOTED_ENDS = "\r\n"  # a field that has one of them is quoted
_ESCAPED = {character: f"\\{character}" for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
    "−": "$-$",
    "<": "$<$",
    ">": "$>$",
}


def csv_table(lines: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Return lines as CSV; what is None is empty."""
    written = _Lines()
    writer = csv.DictWriter(written, columns, restval="", lineterminator=_QUOTED_ENDS)
    writer.writeheader()
    writer.writerows({name: "" if value is None else value for name, value in line.items()} for line in lines)
    return "".join(written)


class _Lines(list[str]):
    """Lines of CSV that end with a line feed, where a carriage return within a field is quoted all the same."""

    def write(self, line: str) -> None:
        """Add a line, as it comes from `csv`."""
        self.append(line.removesuffix(_QUOTED_ENDS) + "\n")


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of GitHub's Markdown; the first column is flush left, the others right."""
    lines = [header, [":--", *["--:"] * (len(header) - 1)], *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def latex_table(header: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> str:
    """Return a table for the package booktabs; the first column is flush left, the others right."""
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{_escaped(caption)}}}"]
    lines += [rf"\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}", r"\toprule", _line(header), r"\midrule"]
    lines += [*map(_line, rows), r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return " & ".join(map(_escaped, cells)) + r" \\"


def _escaped(text: str) -> str:
    return "".join(_ESCAPED.get(character, character) for character in text)
