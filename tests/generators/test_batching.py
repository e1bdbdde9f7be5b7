"""Batches hold items of one kind, in order, and lose none."""

from hypothesis import given
from hypothesis import strategies as st

from generators.shared.batch_generator import plan_batches


def test_a_batch_is_of_one_kind_and_full_ones_come_first():
    batches = plan_batches([1, 2, 3, 5, 4, 7, 9], kind=lambda x: x % 2, size=2)
    assert batches == [[1, 3], [2, 4], [5, 7], [9]]


@given(st.lists(st.integers(0, 3)), st.integers(1, 4))
def test_nothing_is_lost_and_order_is_kept_within_a_kind(kinds: list[int], size: int):
    items = list(enumerate(kinds))
    batches = plan_batches(items, kind=lambda item: item[1], size=size)
    assert all(len(batch) <= size and len({kind for _, kind in batch}) == 1 for batch in batches)
    for kind in set(kinds):
        assert [i for batch in batches for i in batch if i[1] == kind] == [i for i in items if i[1] == kind]
        assert sum(len(batch) < size for batch in batches if batch[0][1] == kind) <= 1
