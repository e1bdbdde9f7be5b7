"""How a report words numbers and the names of groups."""

from reward.benchmark.metrics import Line
from reward.benchmark.result_rows import MUSIC_ARENA

#: metrics that are shares
SHARES = ("ACC", "ACC_decided", "people")
_GROUPS = {
    ("modality_type", "instru"): "instrumental",
    ("ref_subset", "no_ref"): "without a reference",
    ("ref_subset", "ref"): "with a reference",
    ("confidence", "<3"): "below 3",
    ("confidence", "=3"): "3",
    ("confidence", ">3"): "above 3",
}


def question_of(line: Line) -> str:
    """Return data set and task of a line."""
    return f"{dataset_name(str(line['dataset']))}, {line['task']}"


def dataset_name(dataset: str) -> str:
    """Return a data set as people write it."""
    return "Music Arena" if dataset == MUSIC_ARENA else dataset


def group_of(line: Line) -> str:
    """Return the group of a line."""
    key, value = str(line["group_key"]), str(line["group_value"])
    if key == "duration":
        return f"{value.strip('[])').replace(',', ' to ')} s"
    return _GROUPS.get((key, value), value)


def number(metric: str, value: object, signed: bool = False) -> str:
    """Return a value of a metric: shares in percent, the others as they are; a dash for none."""
    if not isinstance(value, int | float):
        return "–"
    sign = "+" if signed else ""
    return (f"{100 * value:{sign}.1f}" if metric in SHARES else f"{value:{sign}.3f}").replace("-", "−")


def interval(metric: str, line: Line, signed: bool = False) -> str:
    """Return the interval of a line; empty if it has none."""
    ends = [line.get(end) for end in ("low", "high")]
    return "" if None in ends else " … ".join(number(metric, end, signed) for end in ends)
