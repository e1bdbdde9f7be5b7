"""One command for all analyses."""

import pytest

from experiments.analyses.__main__ import main


def test_bad_options_are_one_line_and_code_2(tmp_path, capsys):
    for arguments, message in (
        (["astrology"], "expected one of arena, windows, leaderboard, anchors, mirex, got 'astrology'"),
        (["arena", "--results", str(tmp_path / "none.jsonl")], "cannot read"),
        (["arena", "--result", "x", "--folds", "y"], "--help lists the options"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
        told = capsys.readouterr().err
        assert message in told
        assert told.count("\n") == 1
