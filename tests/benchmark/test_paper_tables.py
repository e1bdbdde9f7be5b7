"""The paper's tables: its numbers as printed, marked so, and the measured ones in the right columns."""

import csv

import pytest

from music.jsonl import read_jsonl
from reward.benchmark import paper_tables
from reward.benchmark.command import Benchmark, main
from reward.benchmark.extra import extra
from reward.benchmark.metrics import detail, summary
from reward.benchmark.paper_tables import TABLES, all_lines, measured, published
from tests.reward.conftest import SCORING

RESULTS = SCORING.parent / "metrics" / "results.jsonl"


@pytest.fixture(scope="module")
def rows():
    return [row for _, row in read_jsonl(RESULTS)]


@pytest.mark.parametrize("name", TABLES)
def test_published_rows_have_the_columns_of_their_table(name):
    found = published(name)
    assert found
    for row in found:
        assert list(row) == ["model", *TABLES[name].columns]
        for title, cells in TABLES[name].columns.items():
            if row[title]:
                low, high = (0, 100) if cells[0].metric == "ACC" else (-1, 1)
                assert low <= float(row[title]) <= high


def test_numbers_that_the_paper_prints():
    (best,) = [row for row in published("musicality") if row["model"] == "CMI-RM, CMI-Pref + MusicEval"]
    told = [best[column] for column in ("PAM SRCC", "MusicEval LCC", "Music Arena ACC", "CMI-Pref ACC")]
    assert told == ["0.6606", "0.8195", "73.43", "78.20"]


ALL = ("musicality", "music_arena", "training_sets")
#: model, data set -> what the paper prints where its tables contradict each other
CONTRADICTIONS = {
    ("Qwen2-Audio", "MusicArena"): {"musicality": "5.99", "music_arena": "35.99"},
    ("CMI-RM, Distill only", "MusicArena"): dict(zip(ALL, ("64.25", "65.37", "64.78"), strict=True)),
    ("CMI-RM, CMI-Pref", "MusicArena"): dict(zip(ALL, ("71.41", "71.57", "71.12"), strict=True)),
    ("CMI-RM, CMI-Pref + MusicEval", "MusicArena"): dict(zip(ALL, ("73.43", "73.21", "72.46"), strict=True)),
    ("CMI-RM, CMI-Pref + MusicEval", "CMI-Pref"): {"musicality": "78.20", "confidence_musicality": "78.10"},
}


def test_tables_print_the_same_but_for_what_the_paper_contradicts():
    called = {  # in table 4
        "Distill only": "CMI-RM, Distill only",
        "Distill+CMI-Pref": "CMI-RM, CMI-Pref",
        "Distill+Both": "CMI-RM, CMI-Pref + MusicEval",
    }
    printed = {}
    for name, table in TABLES.items():
        for row in published(name):
            for title, cells in table.columns.items():
                if row[title]:
                    of = (called.get(row["model"], row["model"]), *cells)
                    printed.setdefault(of, {})[name] = row[title]
    several = {of: told for of, told in printed.items() if len(told) > 1}
    assert len(several) > 90
    differing = {of: told for of, told in several.items() if len(set(told.values())) > 1}
    assert {(model, cell.dataset): told for (model, cell), told in differing.items()} == CONTRADICTIONS
    for model, dataset in CONTRADICTIONS:  # the docstring tells them
        assert model in paper_tables.__doc__
        assert all(number in paper_tables.__doc__ for number in CONTRADICTIONS[model, dataset].values())


def test_measured_numbers_are_those_of_the_metrics(rows):
    lines = all_lines(whole := summary(rows), parts := detail(rows), extra(rows))
    of = {(line["dataset"], line["task"]): line for line in whole}
    found = measured("training_sets", "mine", lines)
    mean = (of["PAM", "musicality"]["SRCC"] + of["PAM", "alignment"]["SRCC"]) / 2
    assert found["PAM mean SRCC"] == f"{mean:.4f}"
    groups = {
        (line["task"], line["group_key"], line["group_value"], line.get("ref_category")): line["ACC"]
        for line in parts
    }
    shown = {name: measured(name, "mine", lines) for name in TABLES}
    expected = {
        ("alignment", "text+ref"): ("alignment", "modality", "text+ref", None),
        ("confidence_alignment_ref", "=3"): ("alignment", "confidence", "=3", "ref"),
        ("confidence_alignment_ref", "vocal"): ("alignment", "modality", "text+lyrics+ref", None),
        ("confidence_musicality", ">3"): ("musicality", "confidence", ">3", "all"),
        ("music_arena", "SEP"): ("preference", "month", "02-2025SEP", None),
    }
    for (name, title), group in expected.items():
        assert shown[name][title] == f"{100 * groups[group]:.2f}"
    assert shown["music_arena"]["DEC"] == ""  # none of these rows is from December
    assert 0 < float(shown["music_arena"]["vocal"]) < 100


def test_the_command_writes_every_table_in_three_forms(tmp_path):
    assert main(Benchmark(tmp_path, results=RESULTS, name="mine")) == 0
    for name, table in TABLES.items():
        lines = list(csv.DictReader((tmp_path / "tables" / f"{name}.csv").open()))
        assert [line["source"] for line in lines] == ["published"] * (len(lines) - 1) + ["measured"]
        assert lines[-1]["model"] == "mine"
        page = (tmp_path / "tables" / f"{name}.md").read_text()
        assert page.startswith(table.caption)
        assert page.count("| published |") == len(lines) - 1
        assert r"\bottomrule" in (tmp_path / "tables" / f"{name}.tex").read_text()
