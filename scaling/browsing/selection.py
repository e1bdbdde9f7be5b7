"""Which part of one or two pools is asked for, in which order: prompts that match, page by page."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from urllib.parse import urlencode

import numpy as np

from music.errors import InputError
from music.intervals import Array
from scaling.browsing.listing import Listing

PROMPTS = 10  # on one page


@dataclass(frozen=True)
class Query:
    """What the address of a page says.

    Attributes
    ----------
    text
        What id, text or lyrics of a prompt must hold, in capitals or not.
    sort
        The metric by which prompts, and the candidates of each, are ordered; empty for the order of the pool.
    lowest_first
        Whether low numbers come first.
    metric, low, high
        Only candidates whose metric lies between; empty for no limit.
    favourites
        Only favourites.
    each
        Most candidates of a prompt that are shown.
    page
        Which page, from 1.
    """

    text: str = ""
    sort: str = ""
    lowest_first: bool = False
    metric: str = ""
    low: float | None = None
    high: float | None = None
    favourites: bool = False
    each: int = 20
    page: int = 1

    @classmethod
    def parse(cls, parameters: Mapping[str, str], metrics: Sequence[str]) -> "Query":
        """Read the parameters of an address; those that are unknown or empty are left out.

        Raises
        ------
        InputError
            If a number is none, or a metric is not among those that there are.
        """
        given = {
            field.name: _parsed(field.name, parameters[field.name], field.default)
            for field in fields(cls)
            if parameters.get(field.name)
        }
        query = cls(**given)  # type: ignore[arg-type]
        for name in filter(None, (query.sort, query.metric)):
            if name not in metrics:
                raise InputError(f"there is no metric {name!r}; there are {', '.join(metrics) or 'none'}")
        return query

    def address(self, **changes: str | int | bool) -> str:
        """Return the parameters of this query with some changed, as an address ends."""
        changed = replace(self, **changes)  # type: ignore[arg-type]
        values = {field.name: (getattr(changed, field.name), field.default) for field in fields(self)}
        said = {
            name: int(v) if isinstance(v, bool) else v
            for name, (v, default) in values.items()
            if v != default
        }
        return "/" + (f"?{urlencode(said)}" if said else "")


def _parsed(name: str, text: str, default: object) -> object:
    if isinstance(default, str):
        return text
    try:
        number = float(text) if default is None else int(text)
    except ValueError as error:
        raise InputError(f"{name} must be a number, got {text!r}") from error
    if isinstance(default, bool):
        return bool(number)
    if math.isnan(number) or (default is not None and number < 1):
        raise InputError(f"{name} must be a number of at least 1, got {text!r}")
    return number


@dataclass(frozen=True)
class Selection:
    """One page.

    Attributes
    ----------
    prompts
        How many prompts match, on all pages.
    candidates
        How many candidates match, in each pool.
    pages
        How many pages there are, at least 1.
    page
        Which one it is: the one asked for, or the last.
    sections
        For each prompt of this page, its id and, for each pool, the rows of its candidates that match.
    """

    prompts: int
    candidates: list[int]
    pages: int
    page: int
    sections: list[tuple[str, list[list[int]]]]


def select(listings: Sequence[Listing], favourites: Sequence[Mapping[str, int]], query: Query) -> Selection:
    """Return the page that is asked for.

    Parameters
    ----------
    listings
        The pools.
    favourites
        For each pool, the rows of favourites by prompt id.
    query
        What is asked for.
    """
    found: list[dict[str, list[int]]] = []  # for each pool: prompt id -> rows in order
    first: dict[str, float] = {}  # prompt id -> where it comes
    for listing, marked in zip(listings, favourites, strict=True):
        keys = _keys(listing, query)
        order = np.lexsort((keys, listing.prompt_of))
        order = order[_matching(listing, marked, query)[order]]
        starts = np.flatnonzero(np.diff(listing.prompt_of[order], prepend=-1))
        groups: dict[str, list[int]] = {}
        for rows in np.split(order, starts[1:]) if len(order) else []:
            prompt_id = listing.candidates[rows[0]].prompt_id
            groups[prompt_id] = rows.tolist()
            first[prompt_id] = min(first.get(prompt_id, math.inf), float(keys[rows[0]]))
        found.append(groups)
    ordered = sorted(first, key=lambda prompt_id: (first[prompt_id], prompt_id))
    pages = max(1, math.ceil(len(ordered) / PROMPTS))
    page = min(query.page, pages)
    shown = ordered[(page - 1) * PROMPTS : page * PROMPTS]
    sections = [(prompt_id, [groups.get(prompt_id, []) for groups in found]) for prompt_id in shown]
    sizes = [sum(map(len, groups.values())) for groups in found]
    return Selection(len(ordered), sizes, pages, page, sections)


def _keys(listing: Listing, query: Query) -> Array:
    """Return what candidates are ordered by, `[N]`, the first lowest; those without a score come last."""
    if not query.sort:
        return np.zeros(len(listing.candidates))
    values = listing.columns.get(query.sort, np.full(len(listing.candidates), np.nan))
    return np.nan_to_num(values if query.lowest_first else -values, nan=np.inf)


def _matching(listing: Listing, favourites: Mapping[str, int], query: Query) -> np.ndarray:
    """Return whether each candidate is asked for, `[N]`."""
    matching = np.ones(len(listing.candidates), dtype=bool)
    if query.text:
        wanted = query.text.casefold()
        prompts = [listing.candidates[start] for start in listing.starts]
        holds = [wanted in f"{one.prompt_id}\n{one.text}\n{one.lyrics}".casefold() for one in prompts]
        matching &= np.array(holds)[listing.prompt_of]
    if query.metric:
        values = listing.columns.get(query.metric, np.full(len(listing.candidates), np.nan))
        low = -np.inf if query.low is None else query.low
        matching &= (values >= low) & (values <= (np.inf if query.high is None else query.high))
    if query.favourites:
        marked = np.zeros_like(matching)
        marked[list(favourites.values())] = True
        matching &= marked
    return matching
