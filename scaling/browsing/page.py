"""The page of `scaling.browse`: from rows that were selected to the context of ``templates/browse.html.j2``."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from music.intervals import Array
from music.web_page import page_template
from scaling.browsing.listing import REWARD, Listing
from scaling.browsing.selection import Query, Selection
from scaling.report import shown_digits

_MOST_COLUMNS = 6  # more metrics than these do not fit side by side
_EACH = (5, 20, 100, 1000)


class Shelf:
    """One pool, or two side by side.

    Parameters
    ----------
    listings
        The pools.
    """

    def __init__(self, listings: Sequence[Listing]) -> None:
        self.listings = listings
        names = dict.fromkeys(name for listing in listings for name in listing.columns)
        #: each metric of any pool by name: all values that are known, `[N]`
        self.columns: dict[str, Array] = {name: _known(listings, name) for name in names}
        self._digits = {name: shown_digits(values) for name, values in self.columns.items()}
        self._ranges = {
            name: (values.min(), values.max()) for name, values in self.columns.items() if len(values)
        }
        self._pools = [_described(*item) for item in zip("AB", listings, strict=False)]
        self._facts = _facts(listings)
        self._template = page_template("scaling", "browse.html.j2")

    def page(self, query: Query, selection: Selection, favourites: Sequence[Mapping[str, int]]) -> str:
        """Return the page as HTML.

        Parameters
        ----------
        query
            What was asked for.
        selection
            What was found.
        favourites
            For each pool, the rows of favourites by prompt id.
        """
        generators = [listing.candidates[0].generator for listing in self.listings]
        if len(set(generators)) < len(generators):
            generators = [listing.name for listing in self.listings]
        return self._template.render(
            query=query,
            selection=selection,
            each=_EACH,
            default_each=Query.each,
            names=list(self.columns),
            narrow=len(self.columns) > _MOST_COLUMNS,
            title=" against ".join(generators),
            pools=self._pools,
            marked=sum(map(len, favourites)),
            sections=[self._section(*section, query, favourites) for section in selection.sections],
            facts=self._facts,
        )

    def _section(
        self, prompt_id: str, found: list[list[int]], query: Query, favourites: Sequence[Mapping[str, int]]
    ) -> dict[str, Any]:
        firsts = [
            listing.candidates[rows[0]] if rows else None
            for listing, rows in zip(self.listings, found, strict=True)
        ]
        number, prompt = next((number, first) for number, first in enumerate(firsts) if first)
        return {
            "id": prompt_id,
            "text": prompt.text,
            "lyrics": prompt.lyrics,
            "reference": f"/references/{number}/{Path(prompt.reference).name}" if prompt.reference else "",
            "pools": [
                {
                    "rows": [self._row(place, row, favourites[place]) for row in rows[: query.each]],
                    "found": len(rows),
                    "other_text": first.text if first and first.text != prompt.text else "",
                }
                for place, (first, rows) in enumerate(zip(firsts, found, strict=True))
            ],
        }

    def _row(self, pool: int, row: int, favourites: Mapping[str, int]) -> dict[str, Any]:
        listing = self.listings[pool]
        candidate = listing.candidates[row]
        return {
            **asdict(candidate),
            "pool": pool,
            "audio": f"/audio/{pool}/{candidate.sha256}",
            "chosen": row in listing.choices,
            "favourite": favourites.get(candidate.prompt_id) == row,
            "scores": {name: self._score(listing, name, row) for name in self.columns},
        }

    def _score(self, listing: Listing, name: str, row: int) -> dict[str, Any] | None:
        """Return a number as it is shown, and where it lies between the lowest and the highest of all, in percent."""
        value = float(listing.columns[name][row]) if name in listing.columns else np.nan
        if np.isnan(value):
            return None
        low, high = self._ranges[name]
        return {
            "value": value,
            "digits": self._digits[name],
            "percent": 100 * (value - low) / ((high - low) or 1),
        }


def _described(letter: str, listing: Listing) -> dict[str, Any]:
    return {
        "letter": letter,
        "name": listing.name,
        "prompts": len(listing.starts),
        "candidates": len(listing.candidates),
        "minutes": sum(candidate.seconds for candidate in listing.candidates) / 60,
    }


def _facts(listings: Sequence[Listing]) -> dict[str, str]:
    facts: dict[str, str] = {}
    for letter, listing in zip("AB", listings, strict=False):
        candidate = listing.candidates[0]
        told = {
            "Pool": str(listing.pool.folder.absolute()),
            "Generator": f"{candidate.generator}, {candidate.seconds:g} s at {candidate.sample_rate} Hz",
            "Spec": candidate.spec,
            "Reward": listing.reward.name if REWARD in listing.columns else "its metrics are not in the pool",
            "Scorers": ", ".join(listing.scorers) or "none",
        }
        facts |= {f"{label} {letter}" if len(listings) > 1 else label: value for label, value in told.items()}
    return facts


def _known(listings: Sequence[Listing], name: str) -> Array:
    values = np.concatenate([listing.columns[name] for listing in listings if name in listing.columns])
    return values[~np.isnan(values)]
