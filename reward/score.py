"""Score audio with any scorer: rows of a file (`reward.scoring.rows`), or a pool (`reward.scoring.pool`).

    python -m reward.score in.jsonl out.jsonl --reward lab-cmi-rm
    python -m reward.score --pool runs/best_of_n/pool --reward lab-cmi-rm
    torchrun --nproc-per-node 2 -m reward.score in.jsonl out.jsonl     # several processes share the work

What was scored before by the same version of the scorer is not scored again; a killed run is simply run again. Rows in
``out.jsonl`` that another version scored are an error (choose another output); in a pool both are kept. Exit code 0:
everything has a score. 1: some audio could not be scored; the rest was. 2: bad options or input.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from music.candidate import Candidate
from music.command import run
from music.errors import InputError
from music.pool import Pool
from music.same_inputs import meet
from reward.registry import load_reward
from reward.scoring.level import AtLevel
from reward.scoring.options import RowScoring
from reward.scoring.pool import score_pool
from reward.scoring.rows import WARNING, batch_on, check_files, score_rows


@dataclass(frozen=True)
class ScoreConfig(RowScoring):
    """Score audio: the rows of a JSON Lines file, or the candidates of a pool.

    Parameters
    ----------
    input
        JSON Lines with the fields id, audio, text, lyrics, reference; paths are relative to the file.
    output
        JSON Lines with the same rows, their metrics and the hash of the model.
    pool
        Pool to score instead of a file.
    level
        Root mean square that clips are brought to before they are judged, dBFS; by default they are judged as they are.
    """

    POSITIONALS: ClassVar = ("input", "output")

    input: str = ""
    output: str = ""
    pool: str = ""
    level: float | None = None

    def __post_init__(self) -> None:
        """`InputError` unless there is either a pool or an input with its output."""
        if bool(self.pool) == bool(self.input) or bool(self.input) != bool(self.output):
            raise InputError("expected either IN.jsonl OUT.jsonl or --pool DIR")
        if self.level is not None and not -100 <= self.level <= 0:
            raise InputError(f"--level must lie between -100 and 0 dBFS, got {self.level}")
        if self.pool and (self.root is not None or self.limit is not None):
            raise InputError("--root and --limit are for the rows of a file: leave them out with --pool")
        super().__post_init__()


def main(config: ScoreConfig) -> int:
    """Score as the config says; return the exit code."""
    with meet(config, Path(config.output).parent if config.output else None) as processes:
        if config.input:
            check_files(Path(config.input), Path(config.output))
        pool = Pool(config.pool) if config.pool else None
        scorer = load_reward(config)
        if config.level is not None:
            scorer = AtLevel(scorer, config.level)
        if pool is not None:
            table = score_pool(pool, scorer, processes=processes, on_error=_report)
            left = len(table.missing(pool.candidates))
            counts = (
                f"{len(pool) - left} of {len(pool)} candidates have scores by {scorer.name}, {left} failed"
            )
        else:
            outcome = score_rows(
                Path(config.input),
                Path(config.output),
                scorer,
                processes,
                batch_on(config.device),
                config.workers,
                root=config.root,
                limit=config.limit,
            )
            left = outcome.failed
            counts = f"{outcome.scored} rows scored, {outcome.kept} kept, {outcome.failed} failed"
            if outcome.warned:
                counts += f"; {outcome.warned} far above full scale, see their {WARNING!r}"
        if processes.is_main:
            print(counts, file=sys.stderr)
        return 1 if left else 0


def _report(candidate: Candidate, error: InputError) -> None:
    print(f"{candidate.file_name}: {error}", file=sys.stderr)


if __name__ == "__main__":
    run(main, ScoreConfig)
