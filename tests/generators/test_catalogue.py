"""What is said of the generators: the same in the code, on the command line and in the docs, and true."""

import subprocess
import sys
from math import prod
from pathlib import Path

import pytest

from generators.catalogue import CATALOGUE, catalogue_table
from generators.registry import BACKENDS, NAMES, load_generator, options_of
from music.errors import InputError
from music.shipped_files import asset

ROOT = Path(__file__).parents[2]


def test_the_docs_show_what_the_command_prints():
    done = subprocess.run(
        [sys.executable, "-m", "generators", "list"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == catalogue_table() + "\n"
    assert catalogue_table() in (ROOT / "docs" / "generators.md").read_text(encoding="utf-8")
    assert all(f"`{known.name}`" in done.stdout for known in CATALOGUE)


def test_every_name_can_be_asked_for_and_no_other_is_listed():
    # audiocraft runs what transformers runs, if it is asked to
    assert {known.backend for known in CATALOGUE} == set(BACKENDS) - {"audiocraft"}
    assert set(NAMES) == {known.name for known in CATALOGUE if known.name != "folder:PATH"}
    assert all(options_of(name) for name in NAMES)
    assert options_of("folder:anywhere") == ()


@pytest.mark.parametrize(
    "known", [known for known in CATALOGUE if known.source.startswith("asset:")], ids=lambda k: k.name
)
def test_of_shipped_models_it_says_what_they_are(known):
    if known.backend == "diffusers":
        pytest.importorskip("torchsde")
    generator = load_generator(known.name, device="cpu")
    assert set(known.accepts) == generator.accepts
    assert known.seconds == pytest.approx(generator.max_seconds, abs=0.005)
    channels = {1: "mono", 2: "stereo"}[generator.channels]
    assert known.audio == f"{generator.sample_rate / 1000:g} kHz {channels}"
    from safetensors import safe_open

    count = 0
    for file in asset(known.source.removeprefix("asset:")).rglob("*.safetensors"):
        with safe_open(file, "pt") as tensors:
            count += sum(prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118
    assert known.parameters == pytest.approx(count, rel=0.005)


def test_a_backend_in_the_name_and_another_beside_it_is_refused():
    with pytest.raises(InputError, match="--backend transformers contradicts --generator folder:x"):
        load_generator("folder:x", backend="transformers")
