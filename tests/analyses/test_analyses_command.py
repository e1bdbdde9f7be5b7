"""One command for all analyses."""

import pytest

from experiments.analyses.__main__ import COMMANDS, main


@pytest.mark.parametrize("name", COMMANDS)
def test_every_analysis_explains_its_options(name, capsys):
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert "--output" in capsys.readouterr().out


def test_the_list_of_analyses_is_whole(capsys):
    main([])
    told = capsys.readouterr().out
    assert all(f"  {name} " in told for name in COMMANDS)


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
