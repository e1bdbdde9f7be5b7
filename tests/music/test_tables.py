"""Tables are what Markdown and LaTeX read."""

from music.tables import latex_table, markdown_table

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
