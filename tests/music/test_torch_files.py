"""A file of torch that is damaged, or holds code, is refused in one line that does not advise to run it."""

import io
import os
import pickle
import random

import pytest
import torch

from music.errors import InputError
from music.torch_files import read_torch_tensors
from music.training_state import TrainState


def saved(value, **options) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, **options)
    return file.getvalue()


WEIGHTS = {"net.0.weight": torch.arange(9.0).view(3, 3), "steps": torch.tensor(5)}
NEW, OLD = saved(WEIGHTS), saved(WEIGHTS, _use_new_zipfile_serialization=False)


class Harmful:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("content", [NEW, OLD])
def test_tensors_come_back(content, tmp_path):
    (tmp_path / "w.pt").write_bytes(content)
    found = read_torch_tensors(tmp_path / "w.pt", "weights", "state_dict")
    assert found.keys() == WEIGHTS.keys()
    assert all(torch.equal(found[name], value) for name, value in WEIGHTS.items())


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("dump", [saved, pickle.dumps])
def test_code_is_not_run(dump, tmp_path):
    (tmp_path / "w.pt").write_bytes(dump({"a": Harmful(tmp_path / "harm")}))
    with pytest.raises(
        InputError, match=r"^[^\n]*w\.pt holds no weights: it is damaged[^\n]*could be harmful$"
    ):
        read_torch_tensors(tmp_path / "w.pt", "weights")
    assert not (tmp_path / "harm").exists()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_no_damage_is_a_traceback(tmp_path):
    """Torch and pickle raise a dozen kinds of errors, of which some have no text."""
    draw = random.Random(0)
    for whole in (NEW, OLD):
        damaged = [whole[:length] for length in range(0, len(whole), len(whole) // 20)]
        for _ in range(100):
            content = bytearray(whole)
            content[draw.randrange(len(whole))] = draw.randrange(256)
            damaged.append(bytes(content))
        for content in damaged:
            (tmp_path / "w.pt").write_bytes(content)
            try:
                read_torch_tensors(tmp_path / "w.pt", "weights")
            except InputError as error:
                assert "\n" not in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    "content", [[1], 5, None, torch.zeros(3), {1: torch.zeros(2)}, {"a": 5}, {"state_dict": None}]
)
def test_what_is_no_mapping_of_tensors_is_named(content, tmp_path):
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(InputError, match=r"w\.pt holds no weights: "):
        read_torch_tensors(tmp_path / "w.pt", "weights", "state_dict")
    with pytest.raises(InputError, match=r"holds no state of a training.*: delete it to start again"):
        TrainState(tmp_path / "w.pt", {})


def test_what_is_no_file_is_named(tmp_path):
    for path in (tmp_path, tmp_path / "none.pt"):
        with pytest.raises(
            InputError, match=r"holds no weights: (Is a directory|No such file or directory)$"
        ):
            read_torch_tensors(path, "weights")
