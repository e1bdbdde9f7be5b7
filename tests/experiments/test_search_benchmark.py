"""The benchmark of search: both methods are timed part by part, on the same candidates, beside what FLOP says."""

import json

import pytest
import torch

from experiments.benchmarks.search import Searches, SearchTime, main
from music.errors import InputError

TINY = {"generator": "musicgen-tiny", "towers": "muq-mulan-tiny", "seconds": 1.2, "candidates": 4}


def test_both_methods_are_timed_and_compared(capsys: pytest.CaptureFixture[str]):
    main(SearchTime(**TINY, prompts=2, batch_size=4, schedule="0.5=0.5", turns=2))
    out, progress = capsys.readouterr()
    found = json.loads(out)
    for turn in (1, 2):
        for method, clips in (("random", 8), ("prune", 4)):
            assert f"turn {turn} of 2: float32 {method}: {clips} clips in" in progress
    for method in ("random", "prune"):
        parts = {name: found[method][name]["low"] for name in ("generation", "decoding", "scoring")}
        assert min(parts.values()) > 0
        assert sum(parts.values()) < found[method]["seconds"]["high"]
    ratios = found["prune_over_best_of_n"]
    assert ratios.keys() == {"seconds", "processor_seconds", "generation", "decoding", "scoring"}
    by_flop = found["by_flop"]
    assert by_flop["generation"] == pytest.approx(0.75, abs=0.01)
    assert by_flop["generation"] < by_flop["seconds"] < by_flop["scoring"] < 1.01
    assert by_flop["prices"]["basis"] == "FLOP"


def test_times_of_other_candidates_are_refused():
    options = SearchTime(**TINY, batch_size=4)
    searches = Searches(options, torch.device("cpu"))
    best_of_n, prune = searches.ways()
    assert (best_of_n.make(TINY["seconds"]), prune.make(TINY["seconds"])) == (4, 1)
    for key, tokens in searches.tokens.items():
        searches.tokens[key] = tokens + 1
    with pytest.raises(
        InputError, match=r"prune made another candidate . of prompt '0' than the turn before"
    ):
        prune.make(TINY["seconds"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"generator": "musicgen-melody"}, "--generator must be among musicgen-tiny"),
        ({"towers": "x"}, "--towers must be among muq-mulan-large"),
        ({"prompts": 0}, "--prompts must be at least 1"),
        ({"seconds": 60.0}, "--seconds must lie between"),
        ({"schedule": "half"}, "--schedule 'half': expected SHARE=SHARE"),
    ],
)
def test_what_cannot_be_timed_is_refused(options: dict, message: str):
    with pytest.raises(InputError, match=message):
        SearchTime(**options)
