"""The wheel holds what the packages load, nothing that would collide, and runs without the checkout."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("music", "generators", "reward", "scaling", "rlhf", "experiments")
INSIDE = "music/assets/lab"

pytestmark = pytest.mark.slow


def files_of_the_checkout() -> list[str]:
    """Return the paths of files that are tracked, or new and not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return sorted(name for name in listed.stdout.split("\0") if (ROOT / name).is_file())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Build the wheel of a copy of the checkout, which knows nothing of earlier builds."""
    source, output = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in files_of_the_checkout():
        if name.split("/")[0] != "tests":
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    build = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(output), str(source)]
    subprocess.run([sys.executable, "-m", "pip", *build], check=True)
    (built,) = output.iterdir()
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory) -> Path:
    """Return the interpreter of an environment with the wheel, and with the suite's libraries but no checkout."""
    environment = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    (site,) = environment.glob("lib/python*/site-packages")
    # the .pth files of a folder that is named in a .pth file are not read: the editable install stays out
    (site / "suite.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = [
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--no-compile",
        "--ignore-installed",
        str(wheel),
    ]
    interpreter = environment / "bin" / "python"
    subprocess.run([sys.executable, "-m", "pip", "--python", str(interpreter), *install], check=True)
    return interpreter


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """Return a working directory with an `assets` folder of its own."""
    (tmp_path / "assets" / "lab").mkdir(parents=True)
    return tmp_path


def run(folder: Path, *words: object) -> str:
    """Run a command in a folder, with no path to the checkout, and return what it printed."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [str(word) for word in words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_the_code_and_every_file_beside_it(wheel: Path):
    """A file of a kind that pyproject.toml does not name would be missing from an installed copy."""
    expected = {
        name.replace("assets/lab", INSIDE) if name.startswith("assets/lab/") else name
        for name in files_of_the_checkout()
        if name.split("/")[0] in PACKAGES or (name.startswith("assets/lab/") and not name.endswith(".png"))
    }
    held = {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held == expected


def test_the_wheel_puts_only_the_packages_at_the_top(wheel: Path):
    tops = {name.split("/")[0] for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert tops == set(PACKAGES)


def test_an_installed_copy_is_what_runs(python: Path, elsewhere: Path):
    found = "print(*(find_spec(name).origin for name in sys.argv[1:]), asset('lab/prompts.jsonl'), sep='\\n')"
    imports = "import sys; from importlib.util import find_spec; from music.shipped_files import asset; "
    places = [Path(line) for line in run(elsewhere, python, "-c", imports + found, *PACKAGES).splitlines()]
    assert len(places) == len(PACKAGES) + 1
    assert all(place.is_relative_to(python.parent.parent) for place in places)


def test_the_main_job_runs_from_an_installed_copy(python: Path, elsewhere: Path):
    (script,) = python.parent.parent.glob("lib/python*/site-packages/scaling/best_of_n.py")
    launch = ("-m", "accelerate.commands.launch", "--num_processes", 1, "--num_machines", 1)
    plain = ("--mixed_precision", "no", "--dynamo_backend", "no")
    run(elsewhere, python, *launch, *plain, script, "--n", 2, "--limit", 1, "--seconds", 1, "--output", "out")
    assert len(list((elsewhere / "out" / "pool").rglob("*.flac"))) == 2
    assert "<html" in (elsewhere / "out" / "report.html").read_text()


def test_the_lab_renders_and_codes_songs_in_an_installed_copy(python: Path, elsewhere: Path):
    run(elsewhere, python, "-m", "experiments.lab.pairs", "--limit", 1, "--workers", 1, "--output", "pairs")
    assert list((elsewhere / "pairs").rglob("*.flac"))


def test_generators_are_listed_by_an_installed_copy(python: Path, elsewhere: Path):
    assert "lab-musicgen" in run(elsewhere, python, "-m", "generators", "list")
