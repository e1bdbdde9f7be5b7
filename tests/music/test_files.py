"""Text, CSV and tables with tabs: a line ends where lines end, and nowhere else."""

import pytest

from music.errors import InputError
from music.files import read_csv, read_lines, read_tsv, read_yaml

# all that `str.splitlines` cuts at, and files do not
SEPARATORS = ["\u2028", "\u2029", "\x85", "\v", "\f", "\x1c", "\x1d", "\x1e"]


@pytest.mark.parametrize("sign", SEPARATORS)
def test_what_unicode_calls_a_separator_is_a_character(tmp_path, sign):
    file, text = tmp_path / "t", f"A calm piece{sign}with violins"
    file.write_text(f"id,text,n\na,{text},1\nb,loud,2\n", encoding="utf-8")
    assert read_csv(file)[1] == [
        (2, {"id": "a", "text": text, "n": "1"}),
        (3, {"id": "b", "text": "loud", "n": "2"}),
    ]
    file.write_text(f"a\t{text}\t1\n", encoding="utf-8")
    assert read_tsv(file) == [(1, ["a", text, "1"])]
    file.write_text(f"\n{text}\n", encoding="utf-8")
    assert read_lines(file) == [(2, text)]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_ends_of_lines(tmp_path, end, mark):
    (tmp_path / "t").write_bytes(f'{mark}id\ttext{end}{end}"a,{end}b"\t2{end}'.encode())
    assert read_tsv(tmp_path / "t") == [(1, ["id", "text"]), (3, ['"a,']), (4, ['b"', "2"])]
    (tmp_path / "t").write_bytes(f'{mark}id,text{end}a,"one{end}two, ""three"""{end}b,{end}'.encode())
    columns, rows = read_csv(tmp_path / "t")
    assert list(columns) == ["id", "text"]
    assert rows == [(3, {"id": "a", "text": 'one\ntwo, "three"'}), (4, {"id": "b", "text": ""})]


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ('"Blue hour" style slow jazz', None),
        ('"Dreamy pad, no drums', None),
        ('slow 12" single', None),
        ('"Blue" and "red"', None),
        ('"', None),
        ('"Rock, with drums"', "Rock, with drums"),
        ('"A ""blue"" hour"', 'A "blue" hour'),
    ],
)
def test_quotes_between_tabs_are_characters_unless_they_enclose_the_field(tmp_path, field, text):
    (tmp_path / "t").write_text(f"P1\t{field}\nP2\tfast\nP3\t{field}\n")
    assert read_tsv(tmp_path / "t") == [
        (1, ["P1", text or field]),
        (2, ["P2", "fast"]),
        (3, ["P3", text or field]),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"a: caf\xe9", "not UTF-8 text .byte 6"), (b"a: [", "is not YAML"), (b"[" * 5000, "is not YAML")],
)
def test_yaml_that_is_none_is_named(tmp_path, content, message):
    (tmp_path / "c.yaml").write_bytes(content)
    with pytest.raises(InputError, match=rf"c\.yaml {message}|c\.yaml is {message}"):
        read_yaml(tmp_path / "c.yaml")


def test_a_column_that_comes_twice_is_named(tmp_path):
    (tmp_path / "t.csv").write_text("id,text,text\na,one,two\n")
    with pytest.raises(InputError, match=r"t\.csv line 1: column 'text' comes twice"):
        read_csv(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text("id,,\na,,\n")  # as spreadsheets leave empty columns
    assert read_csv(tmp_path / "t.csv")[1][0][1]["id"] == "a"
