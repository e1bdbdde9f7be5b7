"""What a search refuses, before any work: options, generators, and the folders of other runs, which it leaves alone."""

from dataclasses import replace

import pytest

from music.command import parse_command
from music.errors import InputError
from scaling.search import Search, main
from tests.music.folder_state import contents

pytestmark = pytest.mark.usefixtures("no_page")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"method": "random"}, "method was 'prune', is 'random'"),
        ({"method": "stop"}, "method was 'prune', is 'stop'"),
        ({"n": 7}, "n was 6, is 7"),
        ({"schedule": "0.5=0.5"}, "schedule was"),
        ({"weights": "musicality=1"}, "weights was"),
        ({"seed": 7}, "another --seed"),
        ({"seconds": 0.4}, "seconds was 0.6, is 0.4"),
        ({"generator": "no-such-model"}, "no-such-model"),
        ({"ignore_unsupported": False}, "prompt 'a/b' has lyrics"),
    ],
)
def test_the_folder_of_another_search_is_left_alone(config, pruned, changed, message):
    before = contents(pruned)
    with pytest.raises(InputError) as caught:
        main(replace(config, **{"output": pruned, **changed}))
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert contents(pruned) == before


def test_the_folder_of_best_of_n_is_left_alone(config, whole):
    before = contents(whole)
    with pytest.raises(InputError, match="holds the results of another command"):
        main(replace(config, output=whole))
    assert contents(whole) == before


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--budget", "0.5"], "--budget must be at least one clip, got 0.5"),
        (["--budget", "3", "--n", "4"], "leave out --n"),
        (["--method", "magic"], "--method must be one of"),
        (["--n", "0"], "--n must be at least 1"),
        (["--schedule", "half"], "--schedule"),
        (["--method", "stop", "--cost=-1"], "--cost must be 0 or more"),
        (["--method", "stop", "--standardise", "true"], "leave out --standardise"),
        (["--from_pool", "pool"], "--from_pool goes with --method stop"),
    ],
)
def test_options_that_do_not_go_together_never_start(argv, message):
    with pytest.raises(InputError, match=message):
        parse_command(Search, argv)


def test_a_method_that_the_generator_cannot_run_is_refused_before_any_work(config, tmp_path, whole):
    with pytest.raises(InputError, match="starts from no noise: choose a generator by diffusion or flow"):
        main(replace(config, method="cfg"))
    folder = f"folder:{whole / 'best'}"
    with pytest.raises(InputError, match="cannot be stopped half-way"):
        main(replace(config, generator=folder, batch_size=None))
    assert not (config.output / "pool" / "search.json").exists()
