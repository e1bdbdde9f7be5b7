"""Score audio with any scorer: a folder, rows of a file (`reward.scoring.rows`), or a pool (`reward.scoring.pool`).

    python -m reward.score my_clips --text "a slow piano" --csv ranking.csv
    python -m reward.score in.jsonl out.jsonl --reward lab-cmi-rm
    python -m reward.score --pool runs/best_of_n/pool --reward lab-cmi-rm
    music-reward --num_processes 2 score in.jsonl out.jsonl     # several processes share the work

The best are listed, those that fail are told with the reason. What was scored before by the same version of the scorer
is not scored again, unless its audio has changed; a killed run is simply run again. Rows in ``out.jsonl`` that another
version scored are an error (choose another output); in a pool both are kept. Without ``out.jsonl``, the scores of a
folder are not kept. Exit code 0: everything has a score. 1: some audio could not be scored; the rest was. 2: bad
options or input.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from music.candidate import Candidate
from music.command import run
from music.distributed.same_inputs import meet
from music.durable import write_text
from music.errors import InputError
from music.paths import check_apart, check_file, check_output_file, is_file
from music.pool import Pool
from music.processes import Processes
from music.prompts import Prompt
from reward.baselines.side_by_side import parts_of
from reward.hearing import counted
from reward.protocol import Scorer
from reward.registry import load_reward
from reward.scoring.audio_files import audio_rows, is_audio
from reward.scoring.level import AtLevel, check_level
from reward.scoring.loaded_rows import HEARD, WARNING, heard
from reward.scoring.options import RowScoring
from reward.scoring.pool import score_pool
from reward.scoring.ranking import ScoredClip, ranked_csv, ranked_list, told_failures
from reward.scoring.rows import batch_on, check_files, score_rows

_SHOWN = 20  # lines of the list, where all scores are kept
_EITHER = "expected either FOLDER, IN.jsonl OUT.jsonl or --pool DIR"
_DESCRIBES = (
    "note: {} describes clips and does not judge them: the first has the most of it, and is not the best"
)
_RESULTS = ("rank", "mean")  # columns of the table that a row may not have


@dataclass(frozen=True)
class ScoreConfig(RowScoring):
    """Score audio: a folder of it, the rows of a JSON Lines file, or the candidates of a pool.

    Parameters
    ----------
    input
        JSON Lines with the fields id, audio, text, lyrics, reference (paths are relative to the file); or a folder of
        audio files, or one of them.
    output
        JSON Lines with the same rows, their metrics and the hash of the model. Audio files may do without.
    pool
        Pool to score instead.
    text
        Text of the prompt that the audio files were made for.
    csv
        Table of all scores, the best first, as a further output.
    level
        Root mean square that clips are brought to before they are judged, dBFS; by default they are judged as they are.
    """

    POSITIONALS: ClassVar = ("input", "output")

    input: str = ""
    output: str = ""
    pool: str = ""
    text: str = ""
    csv: str = ""
    level: float | None = None

    def __post_init__(self) -> None:
        """`InputError` unless there is one thing to score, with the options that are for it."""
        needs_output = self.input.endswith(".jsonl")
        if (
            bool(self.pool) == bool(self.input)
            or bool(self.output) < needs_output
            or (self.pool and self.output)
        ):
            raise InputError(_EITHER + self._instead)
        if self.pool and (self.root is not None or self.limit is not None):
            raise InputError("--root and --limit are for the rows of a file: leave them out with --pool")
        if self.pool and self.text:
            raise InputError(
                "--text is for a folder of audio; a pool holds its prompts: leave it out with --pool"
            )
        check_level(self.level)
        super().__post_init__()

    def check_files(self) -> None:
        """`InputError` if what is named cannot be scored so, or cannot be written."""
        if self.is_audio:
            next(audio_rows(Path(self.input), self.text))  # there is some
            if self.root is not None:
                raise InputError(f"--root is for the rows of a file: leave it out with {self.input}")
        elif self.input:
            check_file(self.input, "input")
            if not self.output:
                raise InputError(_EITHER)
            if self.text:
                raise InputError(f"--text is for a folder of audio; the rows of {self.input} have their own")
        if self.output:
            check_files(Path(self.input), Path(self.output))
        if self.csv:
            check_output_file(Path(self.csv), ".csv", "--csv")
            check_apart(self.input or self.pool, Path(self.csv))

    @property
    def _instead(self) -> str:
        """What is meant by the rows of a pool."""
        path = Path(self.input)
        if path.name != "metadata.jsonl" or self.pool:
            return ""
        return f": clips of a pool, whose rows these are, are scored by --pool {path.parent}"

    @property
    def is_audio(self) -> bool:
        """Whether audio files are scored, and neither rows nor a pool."""
        return bool(self.input) and is_audio(Path(self.input))


def main(config: ScoreConfig) -> int:
    """Score as the config says; return the exit code."""
    with meet(config, Path(config.output).parent if config.output else None) as processes:
        config.check_files()
        if config.input and not config.output and processes.world_size > 1:
            raise InputError(
                "several processes share their work in an output: name OUT.jsonl after the input"
            )
        pool = Pool(config.pool) if config.pool else None
        scorer = load_reward(config)
        if config.is_audio:
            scorer.check_prompt(Prompt(config.input, config.text))
        if config.level is not None:
            scorer = AtLevel(scorer, config.level)
        clips, counts = (
            _score_pool(pool, scorer, processes)
            if pool is not None
            else _score_rows(config, scorer, processes)
        )
        if processes.is_main:
            if config.csv:
                write_text(Path(config.csv), ranked_csv(clips, scorer.metrics))
            kept = config.output or config.csv or config.pool
            if best := ranked_list(clips, scorer.metrics, _SHOWN if kept else None):
                print(best)
                if not scorer.higher_is_better:
                    print(_DESCRIBES.format(scorer.name), file=sys.stderr)
            print(counts, file=sys.stderr)
            if told := counted([clip.facts.get(HEARD, "") for clip in clips if clip.scores]):
                print(told, file=sys.stderr)
        if processes.is_main or config.pool:  # of a pool each process knows its own
            for line in told_failures(clips):
                print(line, file=sys.stderr)
        return int(not all(clip.scores for clip in clips))


def _score_rows(config: ScoreConfig, scorer: Scorer, processes: Processes) -> tuple[list[ScoredClip], str]:
    """Return the clips of a file or folder, and how many have scores."""
    if config.is_audio and not config.text and processes.is_main:
        inside = is_file(Path(config.input) / "metadata.jsonl")
        instead = f" (those of a pool are scored by --pool {config.input})" if inside else ""
        told = f"note: no --text says what the clips were made for: judged without a prompt{instead}"
        print(told, file=sys.stderr)
    with TemporaryDirectory() as folder:
        found = score_rows(
            Path(config.input),
            Path(config.output or f"{folder}/scores.jsonl"),
            scorer,
            processes,
            batch_on(config.device),
            config.workers,
            root=config.root,
            limit=config.limit,
            text=config.text,
        )
    clips = [_clip_of_row(row, scorer.metrics) for row in found.results]
    loud = f"; {found.warned} far above full scale, see their {WARNING!r}" if found.warned else ""
    changed = f"; the audio of {found.changed} has changed" if found.changed else ""
    return clips, f"{found.scored} rows scored, {found.kept} kept, {found.failed} failed{changed}{loud}"


def _clip_of_row(row: dict[str, Any], metrics: Sequence[str]) -> ScoredClip:
    scores = {} if "error" in row else {name: row[name] for name in metrics}
    facts = {
        f"row.{name}" if name in _RESULTS else name: value
        for name, value in row.items()
        if name not in (*metrics, "model", "error")
    }
    return ScoredClip({"id": row["id"], **facts}, scores, row.get("error", ""))


def _score_pool(pool: Pool, scorer: Scorer, processes: Processes) -> tuple[list[ScoredClip], str]:
    """Return the clips of a pool, and how many have scores."""
    errors: dict[tuple[str, int], str] = {}

    def note(candidate: Candidate, error: InputError) -> None:
        errors[candidate.key] = str(error)

    known: dict[tuple[str, int], dict[str, float]] = {}
    for part, names in parts_of(scorer):
        table = score_pool(pool, part, processes=processes, on_error=note)
        unscored = {candidate.key for candidate in table.missing(pool.candidates)}
        scored = [one for one in pool.candidates if one.key not in unscored]
        for one, found in zip(scored, table.table(scored), strict=True):
            known.setdefault(one.key, {}).update({names[metric]: value for metric, value in found.items()})
    scores = {key: found for key, found in known.items() if len(found) == len(scorer.metrics)}
    clips = [
        ScoredClip(
            {
                "clip": one.original or one.file_name,
                "file_name": one.file_name,
                "prompt_id": one.prompt_id,
                "candidate": one.candidate,
                "system": one.system,
                "text": one.text,
            },
            scores.get(one.key, {}),
            errors.get(one.key, ""),
        )
        for one in pool.candidates
    ]
    if processes.is_main:
        clips = [
            replace(clip, facts={**clip.facts, HEARD: told}) if (told := heard(path, path, scorer)) else clip
            for clip, path in zip(clips, map(pool.path, pool.candidates), strict=True)
        ]
    failed = len(clips) - len(scores)
    return clips, f"{len(scores)} of {len(clips)} candidates have scores by {scorer.name}, {failed} failed"


if __name__ == "__main__":
    run(main, ScoreConfig)
