"""Tables are what Markdown and LaTeX read."""

import csv
import io

import pytest

from music.tables import csv_table, latex_table, markdown_table

HEADER, ROWS = ["", "a|b", "c_d"], [["x & y", "1", "50 %"], ["−2", "{3}", "\\"]]


def test_markdown_keeps_its_columns():
    lines = markdown_table(HEADER, ROWS).splitlines()
    assert lines[0] == r"|  | a\|b | c_d |"
    assert lines[1] == "| :-- | --: | --: |"
    assert len(lines) == 4


def test_latex_escapes_what_it_would_read_as_commands():
    found = latex_table(HEADER, ROWS, "of 100 % & more")
    assert r"x \& y & 1 & 50 \% \\" in found
    assert r"$-$2 & \{3\} & \textbackslash{} \\" in found
    assert r"\caption{of 100 \% \& more}" in found
    assert r"\begin{tabular}{lrr}" in found


@pytest.mark.parametrize("text", ["plain", 'a "b", c', "a\rb", "a\r\nb", "a\nb", ",", "\r", ""])
def test_csv_gives_any_text_back_in_lines_that_end_with_a_line_feed(text):
    written = csv_table([{"name": text, "n": 1}, {"name": "next", "n": None}], ["name", "n"])
    rows = list(csv.reader(io.StringIO(written, newline="")))
    assert rows == [["name", "n"], [text, "1"], ["next", ""]]
    assert written.startswith("name,n\n")
    assert written.endswith("\nnext,\n")
