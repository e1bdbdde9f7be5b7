"""The shape of the project: imports point down, light packages stay light, and no file shadows another module."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOORS = {"music": 0, "generators": 1, "reward": 1, "scaling": 2, "rlhf": 3, "experiments": 4}
LIGHT = ("music", "reward", "generators", "scaling")
HEAVY = ("audiocraft", "stable_audio_tools", "trl", "diffusers", "fastapi", "sqlalchemy", "matplotlib")
SOURCES = sorted(path for package in FLOORS for path in (ROOT / package).rglob("*.py"))


def imported_packages(path: Path) -> set[str]:
    """Return the top names of everything that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


def upward_imports(package: str, imported: set[str]) -> set[str]:
    """Return those of the imported packages that do not lie below the importing one."""
    return {
        other for other in imported & FLOORS.keys() if other != package and FLOORS[other] >= FLOORS[package]
    }


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path: Path):
    """A floor imports only floors below it; generators and reward do not know each other."""
    package = path.relative_to(ROOT).parts[0]
    assert not upward_imports(package, imported_packages(path))


def test_an_upward_import_is_found(tmp_path: Path):
    """The check above can fail."""
    path = tmp_path / "bad.py"
    path.write_text("def late():\n    from reward.registry import load_scorer\n    import scaling.report\n")
    assert upward_imports("generators", imported_packages(path)) == {"reward", "scaling"}


# Families of generators, each a room below `generators` and, where it can be trained, below `rlhf`.
FAMILIES = ("ace_step", "audioldm2", "musicgen", "recorded", "stable_audio")
HALLS = ("shared", "diffusion", "assessment")  # what families use; they know no family


def imported_modules(path: Path) -> set[str]:
    """Return the full names of all that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def families_met(room: str, imported: set[str]) -> set[str]:
    """Return the families of generators, other than the room's own, among imported modules."""
    rooms = {
        parts[1] for name in imported if (parts := name.split("."))[0] in ("generators", "rlhf") and parts[1:]
    }
    return rooms & set(FAMILIES) - {room}


@pytest.mark.parametrize(
    "path",
    [path for path in SOURCES if path.parts[len(ROOT.parts) + 1] in (*FAMILIES, *HALLS)],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_a_family_does_not_know_another(path: Path):
    """A family of generators imports no other family, and what they share imports none."""
    assert not families_met(path.relative_to(ROOT).parts[1], imported_modules(path))


def test_a_family_that_meets_another_is_found(tmp_path: Path):
    """The check above can fail."""
    path = tmp_path / "bad.py"
    path.write_text("from generators import ace_step\ndef late():\n    import rlhf.musicgen.policy\n")
    assert families_met("stable_audio", imported_modules(path)) == {"ace_step", "musicgen"}
    assert families_met("musicgen", imported_modules(path)) == {"ace_step"}


def test_every_room_of_generators_is_a_family_or_shared():
    """A new family is guarded from its first day."""
    rooms = {path.name for path in (ROOT / "generators").iterdir() if (path / "__init__.py").exists()}
    assert rooms == {*FAMILIES, "shared", "diffusion"}


def test_no_relative_imports():
    """Relative imports would escape the check of the floors, and scripts launched by path cannot use them."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.level > 0
    ]
    assert not found


def loaded_heavy_modules(statement: str, folder: Path) -> set[str]:
    """Run a statement in a fresh interpreter where every heavy package exists, and return those it loads."""
    for name in HEAVY:  # a stand-in is loaded whether or not the real package is installed
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "__init__.py").write_text("__version__ = '0'\n")
    code = f"import sys; sys.path.insert(0, {str(folder)!r}); {statement}; print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    return set(HEAVY) & set(result.stdout.split())


@pytest.mark.parametrize("package", LIGHT)
def test_importing_a_package_and_all_its_modules_loads_nothing_heavy(package: str, tmp_path: Path):
    """What a command may need later is imported when it is needed."""
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in (ROOT / package).rglob("*.py")
    ]
    assert not loaded_heavy_modules(f"import {', '.join(sorted(modules))}", tmp_path)


def test_a_heavy_import_is_found(tmp_path: Path):
    """The check above can fail."""
    assert loaded_heavy_modules("import music, trl, matplotlib", tmp_path) == {"trl", "matplotlib"}


def shadowed_module(name: str, root: Path = ROOT) -> str | None:
    """Return where a module of that name lies outside the project, if there is one."""
    if name in sys.stdlib_module_names:
        return "the standard library"
    spec = importlib.util.find_spec(name)
    origin = spec.origin if spec else None
    return origin if origin and not Path(origin).is_relative_to(root / "tests") else None


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if path.name not in ("__init__.py", "__main__.py")],
    ids=lambda path: str(path.relative_to(ROOT)),
)  # fmt: skip
def test_no_file_shadows_a_module(path: Path):
    """A script launched by path puts its folder first on the path: its neighbours must not hide other modules."""
    assert shadowed_module(path.stem) is None


def test_a_shadowing_name_is_found():
    """The check above can fail, for the standard library and for installed packages."""
    for taken in ("select", "muq", "tokenizers"):
        assert shadowed_module(taken)
    assert shadowed_module("best_of_n") is None
