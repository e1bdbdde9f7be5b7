"""The table of generators that are known by name.

python -m generators list
"""

from dataclasses import dataclass

from generators.catalogue import catalogue_table


@dataclass(frozen=True)
class ListGenerators:
    """Print the generators that are known by name; --generator also takes hub ids and folders of the same kinds."""


def main(config: ListGenerators) -> None:
    """Print the table."""
    print(catalogue_table())
