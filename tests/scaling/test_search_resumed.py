"""Searches that were killed, or whose rows somebody has deleted: they go on and end with the same bits."""

import os
import signal
import time
from dataclasses import replace

import pytest

from music.pool import Pool
from scaling.search import main
from tests.scaling.finished_run import finished

pytestmark = pytest.mark.usefixtures("no_page")


def test_killed_at_any_stage_it_is_taken_up(config, pruned):
    start = time.perf_counter()
    main(replace(config, at_once=1, output=config.output.parent / "rehearsal"))
    duration = time.perf_counter() - start
    assert finished(config.output.parent / "rehearsal") == finished(pruned)
    for share in (0.3, 0.6):
        output = config.output.parent / f"killed-{share}"
        child = os.fork()
        if child == 0:
            try:
                main(replace(config, at_once=1, output=output))
            finally:
                os._exit(0)
        time.sleep(share * duration)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        main(replace(config, output=output))
        assert finished(output) == finished(pruned)


def test_killed_between_a_clip_and_its_prompt_it_is_searched_again(config, pruned, monkeypatch):
    monkeypatch.setattr(
        "scaling.searching.trail.Trail.add", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):
        main(config)
    assert len(Pool(config.output / "pool")) == 2  # of the first prompt
    monkeypatch.undo()
    main(config)
    assert finished(config.output) == finished(pruned)


def test_a_candidate_whose_row_was_deleted_is_made_again(config, pruned):
    main(config)
    metadata = config.output / "pool" / "metadata.jsonl"
    metadata.write_text("".join(metadata.read_text().splitlines(keepends=True)[1:]))
    main(config)
    assert finished(config.output) == finished(pruned)
