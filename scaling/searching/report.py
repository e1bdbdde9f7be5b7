"""``report.html`` of a search: what it found, what it cost, and how that sounds.

The page is ``scaling/templates/search.html.j2``; what can be heard on it comes from `scaling.report`, as for best of n.
"""

from pathlib import Path

from music.durable import write_text
from music.web_page import page_template
from scaling.charts import against_compute
from scaling.report import Results
from scaling.summary import steps


def write_search_report(path: Path, results: Results) -> None:
    """Write the page.

    Raises
    ------
    InputError
        If a clip cannot be read or the page cannot be written.
    """
    context = {
        **results.shown(),
        "curves": _curves(results),
        "numbers": [str(n) for n in steps(max(map(int, results.summary.get("best_of_n", ["1"]))))],
    }
    write_text(path, page_template("scaling", "search.html.j2").render(**context))


def _curves(results: Results) -> dict[str, str]:
    """Return each metric against compute, with the curve of best of n; nothing where that is unknown."""
    summary = results.summary
    if "best_of_n" not in summary:
        return {}
    clips = summary["compute"]["clips_per_prompt"]
    return {
        name: against_compute(summary["best_of_n"], name, clips, summary["chosen"][name], summary["method"])
        for name in ("reward", *results.metrics)
    }
