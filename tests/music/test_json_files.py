"""JSON files of one object: bad ones are named."""

import pytest

from music.errors import InputError
from music.files import read_object


def test_the_fields_of_an_object(tmp_path):
    (tmp_path / "config.json").write_text('{"sampling_rate": 32000, "name": "naïve"}', encoding="utf-8")
    assert read_object(tmp_path / "config.json") == {"sampling_rate": 32_000, "name": "naïve"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"cannot read .*c\.json: No such file"),
        (b"{", r"c\.json cannot be read as JSON"),
        (b"\xff{}", r"c\.json is not UTF-8 text"),
        (b"[" * 100_000, r"c\.json cannot be read as JSON: .* levels deep"),
        (b'{"name": "\\ud83d"}', r"c\.json holds half a Unicode surrogate pair"),
        (b"[1]", r"c\.json: expected a JSON object, got list"),
    ],
)
def test_anything_else_is_refused_with_the_files_name(tmp_path, content, message):
    if content is not None:
        (tmp_path / "c.json").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_object(tmp_path / "c.json")
