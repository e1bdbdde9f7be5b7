"""Tests of what not everybody installs say so where it is missing."""

import pytest

from music.optional_libraries import OptionalLibraries


def skip_without(libraries: OptionalLibraries) -> None:
    missing = libraries.missing()
    if missing:
        pytest.skip(f"{libraries.owner} needs {missing}, which is not installed")
