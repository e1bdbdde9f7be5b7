"""Whole characters, and JSON of a depth that means something."""

import json

import pytest

from music.texts import broken_text, is_unicode, parse_json


def test_half_a_character_is_found_in_texts_and_keys():
    assert is_unicode("naïve \U0001f3b5")
    assert not is_unicode("\ud83d")
    assert broken_text({"a": ["x", {"b": "whole"}], "c": 1.0, "d": None}) is None
    assert broken_text({"a": ["x", {"b": f"{'much ' * 10}\udce9 more"}]}) == f"{('much ' * 4)}\udce9"
    assert broken_text({"a": {"key \ud83d": 1}}) == "key \ud83d"


def test_json_of_any_sensible_depth():
    nested = 1
    for level in range(100):
        nested = [nested] if level % 2 else {"in": nested}
    assert parse_json(json.dumps(nested)) == nested
    assert parse_json("[" + "[], " * 500 + "[]]") == [[]] * 501  # many, not deep
    assert parse_json(b'"na\xc3\xafve"') == "naïve"
    assert parse_json("[1.5, NaN]", str) == ["1.5", "NaN"]


@pytest.mark.parametrize("depth", [102, 900, 2000, 100_000])
@pytest.mark.parametrize("ends", ["[]", ('{"a":', "}")])
def test_json_without_end(depth, ends):
    with pytest.raises(ValueError, match="more than 100 levels deep"):
        parse_json(ends[0] * depth + "1" + ends[1] * depth)
