"""What is written is whole or absent, whichever library writes it, and a full disk is one line."""

import pytest
import safetensors.torch
import torch
from matplotlib.figure import Figure

from music.drawing import write_figure
from music.durable import claim_work, finished_folder, write_bytes, writing
from music.errors import InputError
from tests.small_files import small_files

MUCH = {"weights": torch.arange(30_000.0)}
WRITERS = {
    "bytes": lambda path: path.write_bytes(bytes(120_000)),
    "torch": lambda path: torch.save(MUCH, path),
    "safetensors": lambda path: safetensors.torch.save_file(MUCH, path),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_folder_on_a_full_disk_stays_as_it_was(tmp_path, writer):
    folder = tmp_path / "model"
    with finished_folder(folder) as part:
        (part / "old").write_text("old")
    with (
        pytest.raises(InputError, match=r"cannot write .*model: .+; free space"),
        small_files(50_000),
        finished_folder(folder) as part,
    ):
        WRITERS[writer](part / "new")
    assert [path.name for path in tmp_path.rglob("*")] == ["model", "old"]
    with finished_folder(folder) as part:
        WRITERS[writer](part / "new")
    assert [path.name for path in folder.iterdir()] == ["new"]


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes differ"), ValueError("os error 28"), InputError("no")]
)
def test_other_errors_stay_what_they_are(tmp_path, error):
    with pytest.raises(type(error), match=str(error)), writing(tmp_path):
        raise error


def test_a_picture_is_whole_or_absent(tmp_path):
    figure = Figure(figsize=(9, 9))
    figure.subplots().plot(range(100))
    with pytest.raises(InputError, match="cannot write"), small_files(3000):
        write_figure(figure, tmp_path / "curves.png", dpi=80)
    assert list(tmp_path.iterdir()) == []
    for name in ("curves", "curves.pdf"):
        write_figure(figure, tmp_path / name, dpi=80)
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "curves.pdf").read_bytes().startswith(b"%PDF")
    with pytest.raises(InputError, match=r"curves\.txt: there is no picture of the kind 'txt'"):
        write_figure(figure, tmp_path / "curves.txt", dpi=80)


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path):
    (tmp_path / "ranking.csv").mkdir()
    with pytest.raises(InputError, match=r"cannot write .*ranking\.csv: Is a directory"):
        write_bytes(tmp_path / "ranking.csv", b"")
    assert [path.name for path in tmp_path.iterdir()] == ["ranking.csv"]


def test_work_of_other_options_is_refused_by_their_names_and_values(tmp_path):
    claim_work(tmp_path, options={"steps": 2, "n": 4}, spec={"weights": "a" * 64})
    claim_work(tmp_path, options={"n": 4, "steps": 2}, spec={"weights": "a" * 64})
    with pytest.raises(
        InputError, match=r"another options \(steps \(was 2, is 3\)\), spec \(weights\): delete"
    ):
        claim_work(tmp_path, options={"steps": 3, "n": 4}, spec={"weights": "b" * 64})
    claim_work(tmp_path, no_longer={"options": ["n"]}, options={"steps": 2}, spec={"weights": "a" * 64})
    with pytest.raises(InputError, match=r"another options \(steps \(was 2, is 3\)\): delete"):
        claim_work(tmp_path, no_longer={"options": ["n"]}, options={"steps": 3}, spec={"weights": "a" * 64})
