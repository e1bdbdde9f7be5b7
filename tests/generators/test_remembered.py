"""Results are computed once, and those that were not asked for the longest time are forgotten."""

from generators.shared.texts import Remembered


def test_each_result_is_computed_once_while_it_is_in_use():
    asked: list[int] = []

    def square(number: int) -> int:
        asked.append(number)
        return number * number

    remembered = Remembered(square, limit=2)
    assert [remembered(number) for number in (1, 2, 1, 3, 1, 2)] == [1, 4, 1, 9, 1, 4]
    assert asked == [1, 2, 3, 2]  # 2 had to make room for 3, because 1 was asked for in between
