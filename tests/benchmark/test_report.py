"""The benchmark's report: the numbers of the tables and no others, no markup from names, and it works in a browser."""

import csv
import html
import json
import re
from collections import Counter
from pathlib import Path

import pytest

from music.jsonl import dump_line, read_jsonl
from reward.benchmark.charts import MOST_POINTS, scatter
from reward.benchmark.command import Benchmark, main
from reward.benchmark.coverage import FATES, coverage
from reward.benchmark.panels import Axis, sections_of
from reward.benchmark.paper_tables import PAPER_ROWS
from tests.web_pages import Tags, assert_balanced, assert_loads_nothing, opened

GOLDEN = Path(__file__).parents[1] / "data" / "metrics" / "results.jsonl"
HOSTILE = "org/<script>alert(0)</script>&\"'"
LONG = "an-organisation-with-a-long-name/a-music-generator-of-many-words-without-a-gap" * 2
SECTIONS = {
    "How sure people were": "confidence",
    "What the prompt holds": "modality",
    "With and without a reference": "ref_subset",
    "Vocal and instrumental": "modality_type",
    "Month": "month",
    "Battles predicted from both scores": "predicted from",
    "Length of the audio": "duration",
    "Generator": "generator",
}


@pytest.fixture(scope="module", autouse=True)
def _few_resamples():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("music.intervals.RESAMPLES", 60)
        yield


def golden_rows():
    """Return the golden rows, each with a prompt of its own, generators and lengths; some have errors."""
    names = (HOSTILE, LONG, "one", "two", "three")
    rows = []
    for number, (_, row) in enumerate(read_jsonl(GOLDEN)):
        row |= {"prompt": f"{number % 150}", "model_a": names[number % 5], "seconds": 5.0 + number % 90}
        row["audio-path"] += f" {number}"
        if "audio2" in row:
            row |= {"model_b": names[number % 4], "seconds_b": 5.0 + number % 70}
        if number % 23 == 0:
            row = {name: value for name, value in row.items() if not name.startswith("predicted")}
            row["error"] = f"{number}.wav: <b>no audio</b>"
        rows.append(row)
    return rows


def write(path, rows):
    path.write_text("".join(map(dump_line, rows)), encoding="utf-8")
    return path


def report(folder, rows, **options):
    """Run the command on rows and return its page."""
    folder.mkdir(exist_ok=True)
    assert main(Benchmark(folder / "out", results=write(folder / "mine.jsonl", rows), **options)) == 0
    return (folder / "out" / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return the folder of a run with all that a report may show."""
    folder = tmp_path_factory.mktemp("run")
    rows = golden_rows()
    noisy = [
        row
        | {
            name: value + (number % 7 - 3) / 2
            for name, value in row.items()
            if name in ("predicted_musicality", "predicted_text-music alignment")
        }
        for number, row in enumerate(rows)
    ]
    report(folder, rows, name=HOSTILE, against=write(folder / "other.jsonl", noisy))
    return folder / "out"


@pytest.fixture(scope="module")
def page(run):
    return (run / "report.html").read_text(encoding="utf-8")


def lines(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def shown(line, column="value", sign=""):
    """Return value and interval of a line of a table as a page shows them."""
    scale, digits = (100, 1) if line["metric"] in ("ACC", "ACC_decided", "people") else (1, 3)
    texts = [
        f"{scale * float(line[name]):{sign}.{digits}f}".replace("-", "−") if line[name] else ""
        for name in (column, "low", "high")
    ]
    return texts[0] or "–", " … ".join(filter(None, texts[1:]))


def panels(part):
    """Return title -> (name, rows, value, interval) of each dot, of the panels in a part of a page."""
    found = {}
    for figure in part.split('<figure class="card">')[1:]:
        if 'class="dots"' in figure:
            dots = re.findall(
                r'class="name">(.*?) <small>(\d+)</small>.*?class="value">(.*?)<small>(.*?)</small>',
                figure,
                re.DOTALL,
            )
            title = re.findall(r"<h4>(.*?) <small>", figure)[0]
            found[title] = [(html.unescape(name), *others) for name, *others in dots]
    return found


def test_it_is_one_file_that_loads_nothing(page):
    assert_loads_nothing(page)
    assert_balanced(page)


def test_names_and_errors_cannot_put_markup_into_the_page(page):
    assert "<script>alert" not in page
    assert "<b>no audio" not in page
    assert html.escape(HOSTILE, quote=False).replace('"', "&#34;").replace("'", "&#39;") in page
    assert "&lt;b&gt;no audio&lt;/b&gt;" in page


def test_headlines_and_tables_are_the_numbers_of_all_rows(run, page):
    whole = [line for line in lines(run / "metrics_extra.csv") if line["group_key"] == "all"]
    assert whole
    cards = page[page.index("Headline numbers") : page.index("</section>")]
    tables = page[page.index("<h2>In numbers") : page.index("<h2>Group by group")]
    for line in whole:
        value, interval = shown(line)
        assert f"<td>{value}<small>{interval}</small></td>" in tables
        if line["metric"] in ("ACC", "SRCC"):
            assert f'<div class="value">{value}<' in cards
            assert interval in cards
    assert cards.count('class="card"') == 6


def test_dots_are_the_numbers_of_the_groups(run, page):
    extra = [line for line in lines(run / "metrics_extra.csv") if line["metric"] in ("ACC", "SRCC")]
    parts = dict(zip(*[iter(re.split(r'<h3 class="part">(.*?)</h3>', page)[1:])] * 2, strict=True))
    seen = 0
    for title, key in SECTIONS.items():
        found = panels(parts[title].split("<h2>")[0])
        expected = [line for line in extra if line["group_key"] == key]
        questions = {
            f"{line['dataset'].replace('MusicArena', 'Music Arena')}, {line['task']}" for line in expected
        }
        assert found.keys() == questions
        for question, dots in found.items():
            group = [
                line
                for line in expected
                if question == f"{line['dataset'].replace('MusicA', 'Music A')}, {line['task']}"
            ]
            assert Counter(tuple(dot[1:]) for dot in dots) == Counter(
                (line["n"], *shown(line)) for line in group
            )
            seen += len(dots)
    assert seen > 60
    generators = panels(parts["Generator"].split("<h2>")[0])
    for dots in generators.values():
        values = [float(value.replace("−", "-")) for _, _, value, _ in dots]
        assert values == sorted(values, reverse=True)
        assert {HOSTILE, LONG} <= {name for name, *_ in dots}
    lengths = panels(parts["Length of the audio"].split("<h2>")[0])["Music Arena, preference"]
    assert [name for name, *_ in lengths] == ["0 to 10 s", "10 to 30 s", "30 to 60 s", "60 to 120 s"]


def test_the_comparison_is_that_of_its_table(run, page):
    part = page[page.index("<h2>Against other") : page.index("<h2>Beside")]
    found = [dot for dots in panels(part).values() for dot in dots]
    expected = lines(run / "comparison.csv")
    assert len(found) == len(expected) == 6
    for line in expected:
        assert [line["n"], *shown(line, "difference", "+")] in [list(dot[1:]) for dot in found]
        chance = line["mcnemar_p"]
        if chance:
            assert f"<td>{line['only_first']}</td><td>{line['only_second']}</td>" in part
            assert (f"<td>{float(chance):.3f}</td>" if float(chance) >= 0.001 else "&lt; 0.001") in part


def test_what_was_measured_on_other_rows_stands_apart_from_the_published_ones(run, page):
    tables = page.split('<table class="sortable">')[1:]
    assert len(tables) == 7
    written = lines(run / "tables" / "musicality.csv")
    ours = written[-1]
    column = "PAM LCC"
    others = [line for line in written[:-1] if line[column]]
    by_it = [*sorted(others, key=lambda line: -float(line[column])), ours]
    shown_rows = re.findall(r'<tr class="(\w+)"><td>.*?</td><td>([\d.-]+)', tables[0])
    assert shown_rows == [(line["source"], line[column]) for line in by_it]
    assert not re.search(r"<small>\d+ of \d+</small>", page)  # which other rows cannot give
    assert page.count("<small>published</small>") > 80
    assert page.count("<small>measured</small>") == 7
    assert "Other rows were measured here than in the paper" in page


def test_measured_on_as_many_rows_as_the_paper_s_a_model_has_a_place(tmp_path, monkeypatch):
    monkeypatch.setitem(PAPER_ROWS, "PAM", len(RATED))
    page = report(tmp_path, RATED)
    assert "Other rows were measured" not in page
    written = lines(tmp_path / "out" / "tables" / "musicality.csv")
    ours, others = written[-1], written[:-1]
    for column in ("PAM LCC", "PAM SRCC", "PAM K-Tau"):
        place = 1 + sum(float(line[column]) > float(ours[column]) for line in others)
        assert f"<td>{ours[column]}<small>{place} of {len(written)}</small></td>" in page
    table = page.split('<table class="sortable">')[1]
    shown_rows = re.findall(r'<tr class="(\w+)"><td>.*?</td><td>([\d.-]+)', table)
    by_it = sorted(written, key=lambda line: -float(line["PAM LCC"]))
    assert shown_rows == [(line["source"], line["PAM LCC"]) for line in by_it]


def test_rows_that_say_who_made_them_are_not_the_paper_s_however_many(tmp_path, monkeypatch):
    monkeypatch.setitem(PAPER_ROWS, "PAM", len(RATED))
    page = report(tmp_path, [row | {"made_by": "a_lab"} for row in RATED])
    warning = "These are not the rows of the paper: a_lab made them."
    assert warning in page
    assert not re.search(r"<small>\d+ of \d+</small>", page)
    for ending in ("md", "tex"):
        text = (tmp_path / "out" / "tables" / f"musicality.{ending}").read_text()
        assert warning.replace("_", r"\_" if ending == "tex" else "_") in text


def test_each_row_is_accounted_for(run, page):
    rows = [row for row in golden_rows() if row["split"] == "test"]
    told = coverage(rows)
    assert told == json.loads((run / "metrics.json").read_text())["coverage"]
    for line in told:
        assert sum(line[fate] for fate in FATES) == line["rows"]
        cells = "".join(f"<td>{line[name]}</td>" for name in ("rows", *FATES))
        assert cells in page
    counted = {(line["dataset"], line["task"]): line["n"] for line in told}
    for line in lines(run / "metrics_summary.csv"):
        assert counted[line["dataset"], line["task"]] == int(line["n"])
    errors = [row["error"] for row in rows if "error" in row]
    assert len(errors) > 8
    assert f"and {len(errors) - 8} more" in page


def test_drawings_are_those_of_the_data(page):
    labels = [str(one["aria-label"]) for one in Tags(page).of("svg")]
    assert [label.split(":")[0] for label in labels] == [
        "PAM, musicality",
        "PAM, alignment",
        "MusicEval, musicality",
        "Music Arena, preference",
        "CMI-Pref, alignment",
        "CMI-Pref, musicality",
    ]


def test_a_drawing_holds_at_most_so_many_points():
    def points(count):
        drawing = scatter([(number % 100, number) for number in range(count)], "x")
        return len(re.findall(r'<use [^>]*style="fill: var\(--accent\)', drawing))

    assert points(300) == 300
    assert points(5 * MOST_POINTS) == MOST_POINTS


def clip(number, **others):
    return {"split": "test", "source": "PAM", "audio-path": f"{number}", "prompt": f"{number}", **others}


def pair(number, **others):
    row = {"split": "test", "source": "cmi-arena-annotation", "audio-path": f"{number}", "audio2": "b"}
    return {**row, "prompt": f"{number}", **others}


RATED = [clip(number, musicality=number % 5, predicted_musicality=number) for number in range(12)]
LABELS = {"preference-musicality": "model_a", "predicted_preference-musicality": "model_a"}
ALIKE = {"preference-alignment": "model_a", "predicted_preference-alignment": "both"} | {
    f"predicted_text-music alignment{side}": 1.0 for side in ("", "_b")
}


@pytest.mark.parametrize(
    ("rows", "drawings", "absent"),
    [
        (RATED[:1], 1, ("Group by group", "How sure, how right", "Music Arena")),
        (RATED, 1, ("alignment</div>", "How sure, how right", "Against")),
        ([one | {"predicted_musicality": 1.0} for one in RATED], 1, ("Among the published", "CMI-Pref")),
        ([pair(number, **LABELS) for number in range(3)], 0, ("Predictions and mean", "How sure, how right")),
        ([pair(number, **ALIKE) for number in range(12)], 1, ("Predictions and mean", "PAM, ")),
        ([*RATED, pair(0), pair(0) | LABELS], 1, ("CMI-Pref, alignment</div>",)),
    ],
)
def test_what_is_missing_is_not_shown(tmp_path, rows, drawings, absent):
    page = report(tmp_path, rows)
    assert_balanced(page)
    assert len(Tags(page).of("svg")) == drawings
    body = page[page.index("<body>") :]
    for word in absent:
        assert word not in body
    assert not re.search(r"\b(nan|None|inf|undefined)\b", body)


def test_people_who_judge_what_nobody_predicts_are_no_question(tmp_path):
    twice = [pair(0, **{"preference-alignment": vote}) for vote in ("model_a", "model_b")]
    page = report(tmp_path, [*RATED, *twice])
    assert page.count('class="label"') == 1


def test_a_group_that_is_the_whole_says_nothing_more():
    whole = {"dataset": "CMI-Pref", "task": "musicality", "metric": "ACC", "n": 9, "value": 0.5}
    alone = whole | {"group_key": "modality", "group_value": "text"}
    assert sections_of([whole | {"group_key": "all", "group_value": "all"}, alone]) == []
    other = alone | {"value": 0.75}
    (section,) = sections_of([whole | {"group_key": "all", "group_value": "all"}, other])
    (panel,) = section.panels
    assert [(dot.name, dot.value, dot.ends) for dot in panel.dots] == [("text", "75.0", None)]


@pytest.mark.parametrize("values", [[0.5], [0.0, 0.0], [-0.3, 0.8], [0.712, 0.713], [1.0, 0.0]])
def test_an_axis_holds_its_values(values):
    axis = Axis(values)
    places = [axis.at(value) for value in values]
    assert all(0 <= place <= 100 for place in places)
    ticks = axis.labels("SRCC")
    assert [ticks[0][0], ticks[-1][0]] == [0, 100]
    assert 2 <= len(ticks) <= 6
    for at, text in ticks:
        assert axis.at(float(text.replace("−", "-"))) == pytest.approx(at, abs=0.01)


def test_files_called_results_are_named_by_their_folder(tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "results.jsonl", RATED)
    mine, other = (tmp_path / name / "results.jsonl" for name in ("first", "second"))
    main(Benchmark(tmp_path / "out", results=mine, against=other))
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<h1>first, measured against people</h1>" in page
    assert "<h2>Against second</h2>" in page


def test_run_json_tells_what_the_numbers_come_from(run, page):
    record = json.loads((run / "run.json").read_text())
    assert record["config"]["name"] == HOSTILE
    assert record["resamples"] == 1000
    assert record["results_sha256"] in page


def test_in_a_browser(run):
    with opened(run / "report.html", 360, color_scheme="dark") as page:
        background = "getComputedStyle(document.body).backgroundColor"
        assert page.evaluate(background) == "rgb(19, 18, 23)"
        dot, ticks = page.locator(".dots").first.evaluate(
            """panel => {
                const middle = one => { const box = one.getBoundingClientRect(); return box.left + box.width / 2; };
                return [
                    [middle(panel.querySelector(".track b")), panel.querySelector(".value").firstChild.textContent],
                    [...panel.querySelectorAll(".ticks em")].map(one => [middle(one), one.textContent]),
                ];
            }"""
        )
        number = [(float(text.replace("−", "-")), place) for place, text in [dot, ticks[0], ticks[-1]]]
        (value, at), (low, left), (high, right) = number
        assert at == pytest.approx(left + (value - low) / (high - low) * (right - left), abs=2)  # pixels


def test_a_column_sorts_its_table(run):
    with opened(run / "report.html", 1180) as page:
        table = page.locator("table.sortable").nth(1)
        table.locator("th button", has_text="text+ref").first.click()
        heads = table.locator("thead th").all_inner_texts()
        column = next(index for index, text in enumerate(heads) if text.startswith("text+ref"))
        texts = table.locator(f"tbody td:nth-child({column + 1})").all_inner_texts()
        numbers = [float(text.split()[0]) for text in texts if text != "–"]
        assert numbers == sorted(numbers, reverse=True)
        assert texts[len(numbers) :] == ["–"] * (len(texts) - len(numbers))
        assert table.locator("th[aria-sort]").count() == 1
