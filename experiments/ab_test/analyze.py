"""Analyse the answers to a study: tables, figures and a page that one can publish from.

    python -m experiments.ab_test export runs/listening_test --to answers
    python -m experiments.ab_test analyze runs/listening_test --scorers lab-cmi-rm,experiments.lab.gold:Gold

1. Raters are screened (`experiments.ab_test.screening`); those who are left out are told, with the reason.
2. Of the others: win rates with intervals and exact tests, Bradley-Terry strengths (`wins`), how far they agree with
   each other and with scorers, and by confidence (`agreement`). Repeats and trials that check raters do not count.
3. OUTPUT holds ``report.html``, ``wins.csv``, ``strengths.csv``, ``agreement.csv``, ``scorers.csv``, ``raters.csv``,
   ``wins_alignment.tex``, ``wins_musicality.tex``, ``strengths.tex``, ``wins.png``, ``strengths.png`` and ``run.json``.
"""

from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from experiments.ab_test.agreement import ScorerAgreement, scorer_agreement
from experiments.ab_test.analysis_report import write_all
from experiments.ab_test.export import believed, load_votes
from experiments.ab_test.findings import find
from experiments.ab_test.preferences import preference_rows
from experiments.ab_test.screening import Limits, screen
from experiments.ab_test.study import HEADS, Key, Study, load_study
from experiments.ab_test.votes import Vote, counted
from music.durable import write_text
from music.errors import InputError
from music.jsonl import dump_line
from music.provenance import write_run_record
from reward import load_scorer
from scaling.judging import split_names


@dataclass(frozen=True)
class Analyze:
    """Analyse the answers to a listening test.

    Parameters
    ----------
    study
        The folder that build wrote.
    answers
        A file of answers, or a folder of those that raters have downloaded; STUDY/answers.jsonl by default.
    output
        Folder for tables and page; STUDY/analysis by default.
    scorers
        Scorers that are compared with the raters, as in reward.score, with commas between.
    screening
        Where a rater's answers are left out.
    seed
        Of the resampling.
    dtype
        float32 or bfloat16, of the scorers.
    device
        auto, cpu or cuda, of the scorers.
    """

    study: Path
    answers: Path | None = None
    output: Path | None = None
    scorers: str = ""
    screening: Limits = field(default_factory=Limits)
    seed: int = 0
    dtype: str = "float32"
    device: str = "auto"


def main(options: Analyze) -> None:
    """Read, screen, count and write."""
    study, key = load_study(options.study)
    found = load_votes(options.study, options.answers, study, key)
    raters = screen(found.votes, found.headphones, options.screening)
    votes = believed(found, options.screening)
    if not counted(votes):
        reasons = "; ".join(
            f"{record.rater} {', '.join(record.reasons)}" for record in raters if record.reasons
        )
        raise InputError(
            f"no vote on a pair by a rater who passes the screening ({reasons or 'nobody voted'})"
        )
    scorers = _compare(options, votes, study, key)
    findings = find(votes, raters, key, scorers, options.seed)
    output = options.output or options.study / "analysis"
    print(write_all(output, study, findings))
    write_run_record(output, options, study=study.id, votes=findings.votes)


def _compare(options: Analyze, votes: list[Vote], study: Study, key: Key) -> list[ScorerAgreement]:
    names = split_names(options.scorers)
    if not names:
        return []
    with TemporaryDirectory() as folder:
        path = Path(folder) / "preferences.jsonl"
        rows = preference_rows(votes, options.study, study, key, path.parent)
        write_text(path, "".join(map(dump_line, rows)))
        loaded = [load_scorer(name, options.device, options.dtype) for name in names]
        return scorer_agreement(loaded, path, HEADS, options.seed)
