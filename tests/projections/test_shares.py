"""How the partitions of a log are divided among processes."""

from refold.projections.replay.shares import divided

LEFT = {("a", 0): 50, ("a", 1): 40, ("a", 2): 30, ("b", 0): 20}


def test_each_process_has_about_as_many_records() -> None:
    shares = divided(dict.fromkeys(LEFT, 0), LEFT, 2)
    assert [sum(LEFT[place] for place in share) for share in shares] == [70, 70]
    assert sorted(place for share in shares for place in share) == sorted(LEFT)


def test_a_place_without_records_left_is_nobodys() -> None:
    assert divided({("a", 0): 10, ("a", 1): 4}, {("a", 0): 10, ("a", 1): 9}, 3) == [{("a", 1): 4}]
    assert divided({("a", 0): 10}, {("a", 0): 10}, 3) == []
