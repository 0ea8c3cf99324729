"""What a test is told when rows are not those that it expects."""

from refold.testing.row_list import RowList, told

FOUND = RowList(("store", "day"), [{"store": 1, "day": 1, "lines": 2}, {"store": 2, "day": 1, "lines": 5}])


def test_rows_are_equal_to_a_plain_list() -> None:
    assert FOUND == [{"store": 1, "day": 1, "lines": 2}, {"store": 2, "day": 1, "lines": 5}]


def test_missing_other_and_unexpected_rows_are_told_by_key() -> None:
    expected = [{"store": 1, "day": 1, "lines": 3}, {"store": 3, "day": 1, "lines": 5}]
    lines = [
        "2 rows, and 2 were expected",
        "missing: the row with store=3, day=1: lines=5",
        "not expected: the row with store=2, day=1: lines=5",
        "store=1, day=1: lines is 2, and 3 was expected",
    ]
    assert told(FOUND, expected) == lines
    assert told(expected, FOUND) == lines


def test_columns_that_one_side_lacks_are_told() -> None:
    lines = told(RowList(("k",), [{"k": 1, "a": 1}]), [{"k": 1, "b": 1}])
    assert lines == [
        "1 rows, and 1 were expected",
        "k=1: a is 1, and no value was expected",
        "k=1: there is no column b",
    ]


def test_another_order_is_told() -> None:
    lines = told(FOUND, list(reversed(FOUND)))
    assert lines is not None
    assert lines[1:] == ["the same rows in another order: rows come sorted by key"]


def test_of_many_differences_the_first_and_their_number_are_told() -> None:
    lines = told(RowList(("k",), ({"k": number} for number in range(30))), [])
    assert lines is not None
    assert (len(lines), lines[-1]) == (22, "… and 10 more")


def test_what_are_no_rows_is_left_to_pytest() -> None:
    assert told(FOUND, [1, 2]) is None
    assert told(FOUND, [{"store": 1}]) is None
    assert told([1], [2]) is None
    twice = [{"store": 1, "day": 1, "lines": 2}] * 2
    assert told(FOUND, twice) is None
