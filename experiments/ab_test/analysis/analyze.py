"""Analyse the answers to a study: tables, figures and a page that one can publish from.

    python -m experiments.ab_test export runs/listening_test --to answers
    python -m experiments.ab_test analyze runs/listening_test --scorers lab-cmi-rm,experiments.lab.gold:Gold

1. Raters are screened (`experiments.ab_test.analysis.screening`); those who are left out are listed with the reason.
2. The others give win rates with intervals and exact tests, Bradley-Terry strengths (`wins`), and how far they agree
   with each other and with scorers, by confidence too (`agreement`). Repeats and trials that check raters do not count.
3. OUTPUT holds ``report.html``, ``wins.csv``, ``strengths.csv``, ``agreement.csv``, ``scorers.csv``, ``raters.csv``,
   ``wins_alignment.tex``, ``wins_musicality.tex``, ``strengths.tex``, ``wins.png``, ``strengths.png`` and ``run.json``.
"""

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from experiments.ab_test.analysis.agreement import scorer_agreement
from experiments.ab_test.analysis.findings import find
from experiments.ab_test.analysis.report import write_all
from experiments.ab_test.analysis.screening import Believing, believed_votes
from experiments.ab_test.analysis.votes import ANSWERS
from experiments.ab_test.study import LISTENING, Key, Study, load_study
from music.command import split_names
from music.options import Runtime
from music.provenance import claim_folder, write_run_record
from reward import load_scorer


@dataclass(frozen=True)
class Analyze(Believing, Runtime):
    """Analyse the answers to a listening test.

    Parameters
    ----------
    study
        Folder that build wrote.
    output
        Folder for tables and page; STUDY/analysis by default.
    scorers
        Scorers to compare with the raters, separated by commas, named as in reward.score.
    seed
        Seed of the resampling.
    """

    POSITIONALS: ClassVar = ("study",)
    LIBRARIES: ClassVar = (LISTENING,)

    study: Path
    output: Path | None = None
    scorers: str = ""
    seed: int = 0


def main(options: Analyze) -> None:
    """Read, screen, count and write."""
    output = options.output or options.study / "analysis"
    claim_folder(output, options)
    study, key = load_study(options.study)
    votes, raters = believed_votes(options, options.study, study, key)
    loaded = [load_scorer(name, options.device, options.dtype) for name in split_names(options.scorers)]
    scorers = scorer_agreement(loaded, votes, options.study, study, key, options.seed)
    findings = find(votes, raters, key, scorers, options.seed)
    print(write_all(output, study.settings.title, findings, _facts(options, study, key)))
    write_run_record(output, options, study=study.id, votes=findings.votes)


def _facts(options: Analyze, study: Study, key: Key) -> dict[str, str]:
    limits = ", ".join(f"{name} {value:g}" for name, value in vars(options.screening).items())
    return {
        **{f"System {name}": place for name, place in key.systems.items()},
        "Study": study.id,
        "Answers": str(options.answers or options.study / ANSWERS),
        "Raters are left out below": limits,
        "Seed of the resampling": str(options.seed),
        "Command": shlex.join(sys.argv),
    }
