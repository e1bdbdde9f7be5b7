"""The paper's tables (arXiv 2603.00610): what it published of every model, and a row for the one that was measured.

The published numbers are data, in `published/`: tables 2, 3, 4, 20 and 21 as printed, percentages without their sign.
They were found by other people on the published benchmark; a row that was measured on other rows, such as the lab's,
does not compare with them.

The paper's tables contradict each other in some cells, kept as printed. Accuracy on all battles of Music Arena, in %:

    model                           table 2   table 20  table 4
    Qwen2-Audio                      5.99      35.99
    CMI-RM, Distill only            64.25      65.37     64.78
    CMI-RM, CMI-Pref                71.41      71.57     71.12
    CMI-RM, CMI-Pref + MusicEval    73.43      73.21     72.46

Of musicality on all of CMI-Pref, table 2 has 78.20 and table 21 has 78.10 for "CMI-RM, CMI-Pref + MusicEval".
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from music.durable import make_folder, write_text
from music.tables import csv_table, latex_table, markdown_table
from reward.benchmark.metrics import CONFIDENCES, Line
from reward.benchmark.result_rows import CMI_PREF, MUSIC_ARENA, MUSIC_EVAL, PAM, Row
from reward.benchmark.wording import dataset_name

#: rows of each data set that the paper measured on
PAPER_ROWS = {PAM: 500, MUSIC_EVAL: 413, MUSIC_ARENA: 1_340, CMI_PREF: 500}
_FOLDER = Path(__file__).resolve().parent / "published"
PUBLISHED, MEASURED = "published", "measured"


@dataclass(frozen=True)
class Cell:
    """A line of `metrics_summary.csv`, `metrics_detail.csv` or `metrics_extra.csv`, and which metric of it.

    Attributes
    ----------
    dataset, task, metric
        Data set, task and metric of the line.
    key, value
        Key and value of the group; empty for all rows. For a month the end of the value is enough.
    reference
        Value of the detail's `ref_category`.
    """

    dataset: str
    task: str
    metric: str = "ACC"
    key: str = ""
    value: str = ""
    reference: str = ""

    def among(self, lines: Iterable[Line]) -> float | None:
        """Return the number that the lines have for it, if any."""
        for line in lines:
            group = str(line.get("group_value") or "")
            if (
                (line["dataset"], line["task"]) == (self.dataset, self.task)
                and str(line.get("group_key") or "") == self.key
                and (group == self.value or (self.key == "month" and group.endswith(self.value)))
                and str(line.get("ref_category") or "") == self.reference
                and isinstance(number := line.get(self.metric), int | float)
            ):
                return float(number)
        return None


@dataclass(frozen=True)
class PaperTable:
    """A table.

    Attributes
    ----------
    caption
        What it shows, and its number in the paper.
    columns
        Title, as in the published file -> cells that it is the mean of.
    """

    caption: str
    columns: Mapping[str, Sequence[Cell]]


def _correlations(dataset: str, task: str) -> dict[str, list[Cell]]:
    return {f"{dataset} {name}": [Cell(dataset, task, name)] for name in ("LCC", "SRCC", "K-Tau")}


def _groups(
    dataset: str, task: str, key: str, *values: str, reference: str = "", **titles: str
) -> dict[str, list[Cell]]:
    """Return a column for each value of a group, by its title: the value itself, or TITLE=VALUE."""
    named = {value: value for value in values} | titles
    return {
        title: [Cell(dataset, task, key=key, value=value, reference=reference)]
        for title, value in named.items()
    }


def _alignment_by_confidence(kind: str, instrumental: str, vocal: str) -> PaperTable:
    with_or_without = "with" if kind == "ref" else "without"
    return PaperTable(
        f"Accuracy of alignment on CMI-Pref, prompts {with_or_without} a reference, by people's confidence (table 21)",
        {
            **_groups(CMI_PREF, "alignment", "ref_subset", all=kind),
            **_groups(CMI_PREF, "alignment", "confidence", *CONFIDENCES, reference=kind),
            **_groups(CMI_PREF, "alignment", "modality", instru=instrumental, vocal=vocal),
        },
    )


#: file name -> table
TABLES = {
    "musicality": PaperTable(
        "Musicality (table 2)",
        {
            **_correlations(PAM, "musicality"),
            **_correlations(MUSIC_EVAL, "musicality"),
            "Music Arena ACC": [Cell(MUSIC_ARENA, "preference")],
            "CMI-Pref ACC": [Cell(CMI_PREF, "musicality")],
        },
    ),
    "alignment": PaperTable(
        "Alignment, by what the prompt holds (table 3)",
        {
            **_correlations(PAM, "alignment"),
            **_groups(
                CMI_PREF, "alignment", "modality", "text", "text+lyrics", "text+ref", "text+lyrics+ref"
            ),
            **_groups(CMI_PREF, "alignment", "ref_subset", "no_ref", "ref"),
        },
    ),
    "training_sets": PaperTable(
        "Both tasks together, by what CMI-RM was trained on (table 4)",
        {
            "PAM mean SRCC": [Cell(PAM, task, "SRCC") for task in ("musicality", "alignment")],
            "MusicEval SRCC": [Cell(MUSIC_EVAL, "musicality", "SRCC")],
            "Music Arena ACC": [Cell(MUSIC_ARENA, "preference")],
            "CMI-Pref mean ACC": [Cell(CMI_PREF, task) for task in ("musicality", "alignment")],
        },
    ),
    "music_arena": PaperTable(
        "Accuracy on battles of Music Arena, by month and voice (table 20)",
        {
            "all": [Cell(MUSIC_ARENA, "preference")],
            **_groups(MUSIC_ARENA, "preference", "month", "JULAUG", "SEP", "OCT", "NOV", "DEC"),
            **_groups(MUSIC_ARENA, "preference", "modality_type", "instru", "vocal"),
        },
    ),
    "confidence_musicality": PaperTable(
        "Accuracy of musicality on CMI-Pref, by people's confidence and voice (table 21)",
        {
            "all": [Cell(CMI_PREF, "musicality")],
            **_groups(CMI_PREF, "musicality", "confidence", *CONFIDENCES, reference="all"),
            **_groups(CMI_PREF, "musicality", "modality_type", "instru", "vocal"),
        },
    ),
    "confidence_alignment_no_ref": _alignment_by_confidence("no_ref", "text", "text+lyrics"),
    "confidence_alignment_ref": _alignment_by_confidence("ref", "text+ref", "text+lyrics+ref"),
}


def published(name: str) -> list[dict[str, str]]:
    """Return the published rows of a table of `TABLES`: model, and each column as printed."""
    with (_FOLDER / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def measured(name: str, model: str, lines: Sequence[Line]) -> dict[str, str]:
    """Return the row of a model that was measured; what the lines do not have is empty."""
    row = {"model": model}
    for title, cells in TABLES[name].columns.items():
        numbers = [cell.among(lines) for cell in cells]
        known = [number for number in numbers if number is not None]
        percent = cells[0].metric == "ACC"
        mean = sum(known) / len(known) if len(known) == len(cells) else None
        row[title] = "" if mean is None else f"{100 * mean:.2f}" if percent else f"{mean:.4f}"
    return row


def caution(rows: Sequence[Row], summary: Sequence[Line]) -> str:
    """Return why numbers measured on these rows do not compare with the published ones; empty if they may.

    Rows that are not the published ones may say in `made_by` what made them; `summary` has their lines.
    """
    if makers := sorted({str(row["made_by"]) for row in rows if row.get("made_by")}):
        return (
            f"These are not the rows of the paper: {', '.join(makers)} made them. "
            "Numbers that were measured on other rows do not compare."
        )
    here: dict[str, int] = {}
    for line in summary:
        dataset = str(line["dataset"])
        here[dataset] = max(here.get(dataset, 0), int(str(line["n"])))
    others = [
        f"{count} of {dataset_name(dataset)} where the paper has {PAPER_ROWS[dataset]}"
        for dataset, count in here.items()
        if count not in (0, PAPER_ROWS[dataset])  # none: nothing was asked of it
    ]
    if not others:
        return ""
    return (
        f"Other rows were measured here than in the paper: {', '.join(others)}. "
        "Numbers that were measured on other rows do not compare."
    )


def all_lines(summary: Sequence[Line], detail: Sequence[Line], extra: Sequence[Line]) -> list[Line]:
    """Return the lines of all three files, with the value of each line of the extra ones under its metric's name."""
    named = [{**line, str(line["metric"]): line.get("value")} for line in extra if line["group_key"] != "all"]
    return [*summary, *detail, *named]


def write_tables(folder: Path, model: str, lines: Sequence[Line], warning: str = "") -> None:
    """Write each table as CSV, Markdown and LaTeX; every row says whether it is published or measured.

    The measured `model` has `lines` as of `all_lines`; a `warning` as of `caution` follows the captions.
    """
    make_folder(folder)
    for name, table in TABLES.items():
        rows = [row | {"source": PUBLISHED} for row in published(name)]
        rows.append(measured(name, model, lines) | {"source": MEASURED})
        header = ["model", "source", *table.columns]
        shown = [[row[title] or "–" for title in header] for row in rows]
        write_text(folder / f"{name}.csv", csv_table(rows, header))
        caption = f"{table.caption}. ACC in percent.{warning and f' {warning}'}"
        write_text(folder / f"{name}.md", f"{caption}\n\n{markdown_table(header, shown)}")
        write_text(folder / f"{name}.tex", latex_table(header, shown, caption))
