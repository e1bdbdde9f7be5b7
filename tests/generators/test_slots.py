"""A batch is computed with a number of rows that is proved to treat all rows alike, on this machine."""

import subprocess
import sys

import pytest
import torch
from torch.nn.functional import linear, scaled_dot_product_attention

from generators.shared import slots
from generators.shared.slots import slots_of, treats_rows_alike
from music.errors import InputError

CPU = torch.device("cpu")

ONE_QUERY = """
import music.clips
import torch
from generators.shared.slots import treats_rows_alike
from torch.nn.functional import linear, scaled_dot_product_attention
torch.set_num_threads(2)
for rows in range(2, 14):
    for length in (16, 37, 515):
        states = torch.randn(rows, 4, 1 + 2 * length, 32)
        def attention(states):
            return scaled_dot_product_attention(*states.split([1, length, length], dim=2))
        assert treats_rows_alike(attention, states), (rows, length)
    weight = torch.randn(512, 256)
    assert treats_rows_alike(lambda states: linear(states, weight), torch.randn(rows, 256)), rows
"""


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("batch_size", [1, 2, 3, 4, 5, 6, 16])
def test_there_are_slots_for_every_batch_with_and_without_guidance(
    batch_size: int, dtype: torch.dtype, threads: int
):
    found = slots_of(batch_size, CPU, dtype)
    assert batch_size <= found <= batch_size + 12
    weight = torch.randn(320, 200).to(dtype)
    for rows in (found, 2 * found):
        states = torch.randn(rows, 200).to(dtype)
        order = torch.randperm(rows)
        assert torch.equal(linear(states[order], weight), linear(states, weight)[order])
        query, key, value = (torch.randn(rows, 2, length, 16).to(dtype) for length in (1, 40, 40))
        mixed = scaled_dot_product_attention(query, key, value)
        again = scaled_dot_product_attention(query[order], key[order], value[order])
        assert torch.equal(again, mixed[order])


def test_numbers_of_rows_that_are_not_safe_are_passed_over(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(slots, "_safe", lambda rows, *_: rows not in {4, 6, 12})
    assert slots_of(1, CPU, torch.float32) == 1
    assert slots_of(2, CPU, torch.float32) == 8  # twice 2 is 4, 4 and twice 6 are not safe either


def test_a_machine_without_any_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(slots, "_safe", lambda *_: False)
    with pytest.raises(InputError, match=r"threads in torch\.float32 on cpu.*OMP_NUM_THREADS"):
        slots_of(4, CPU, torch.float32)


def test_a_kernel_whose_result_depends_on_the_place_is_told_from_others():
    weight, scale = torch.randn(8, 8), torch.ones(4, 1)
    scale[3] += 1e-6
    states = torch.randn(4, 8)
    assert treats_rows_alike(lambda rows: linear(rows, weight), states)
    assert not treats_rows_alike(lambda rows: linear(rows, weight) * scale, states)


def test_products_and_attention_of_any_number_of_rows_are_reproducible():
    """In a process whose first computation is ours; without `MKL_CBWR` this fails on an AMD EPYC."""
    subprocess.run([sys.executable, "-c", ONE_QUERY], check=True)
