"""Packed products are the plain ones, and a row does not depend on those beside it."""

from collections.abc import Iterator

import pytest
import torch
from torch.nn.functional import linear

from generators.musicgen import decoder_weights
from generators.musicgen.decoder_weights import PackedLinear, multiplies_bfloat16

TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("outputs", "inputs"), [(64, 32), (36, 72), (1024, 256)])
@pytest.mark.parametrize("rows", [1, 2, 5, 6, 7, 9, 10, 11, 20])
def test_rows_are_those_of_a_plain_product_in_any_order(
    rows: int, outputs: int, inputs: int, kind: torch.dtype, threads: int
):
    random = torch.Generator().manual_seed(rows)
    weight = (torch.randn(outputs, inputs, generator=random) / inputs**0.5).to(kind)
    states = torch.randn(rows, inputs, generator=random).to(kind)
    layer = PackedLinear(weight, rows)
    found = layer(states)
    assert found.dtype == kind
    torch.testing.assert_close(found, linear(states, weight), atol=TOLERANCE[kind], rtol=TOLERANCE[kind])
    order = torch.randperm(rows, generator=random)
    assert torch.equal(layer(states[order]), found[order])
    others = torch.randn(rows, inputs, generator=random).to(kind)
    others[0] = states[0]
    assert torch.equal(layer(others)[0], found[0])


def test_another_number_of_rows_will_do(threads: int):
    weight = torch.randn(48, 32)
    states = torch.randn(7, 32)
    torch.testing.assert_close(PackedLinear(weight, 20)(states), linear(states, weight), atol=1e-5, rtol=1e-5)
    states = torch.randn(20, 3, 32)
    torch.testing.assert_close(PackedLinear(weight, 20)(states), linear(states, weight), atol=1e-5, rtol=1e-5)


def test_weights_are_not_copied_for_the_few_rows_that_gain_nothing():
    layer = PackedLinear(torch.randn(48, 32), rows=2)
    assert layer._product is None


@pytest.mark.skipif(multiplies_bfloat16(), reason="the processor has instructions for bfloat16")
def test_without_instructions_for_bfloat16_only_the_result_is_rounded():
    weight, states = torch.randn(48, 32).bfloat16(), torch.randn(20, 32).bfloat16()
    exact = linear(states.double(), weight.double())
    torch.testing.assert_close(PackedLinear(weight, 20)(states), exact.bfloat16(), atol=0, rtol=2**-8)


def test_a_product_that_treats_rows_differently_is_not_taken(monkeypatch: pytest.MonkeyPatch, threads: int):
    def another_last_row(product: object, states: torch.Tensor) -> torch.Tensor:
        found = linear(states, weight)
        found[-1] = (states[-1].double() @ weight.double().T).to(found.dtype)
        return found

    weight = torch.randn(48, 40)  # of a shape that no other test has
    states = torch.randn(6, 40)
    monkeypatch.setattr(decoder_weights._Packed, "__call__", another_last_row)
    assert torch.equal(PackedLinear(weight, 6)(states), linear(states, weight))
