"""Functions for the purity checks: `IMPURE` are caught, each with a word of why; `PURE` pass. All take a number and a state."""

import hashlib
import itertools
import json
import os
import random
import re
import secrets
import socket
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import reduce
from pathlib import Path
from typing import Any

WORDS = ("anchor", "bridge", "candle", "donkey", "engine", "feather", "garden")
PRICES = {"anchor": Decimal("2.50"), "bridge": Decimal("9.99")}
_numbers = itertools.count()
_seen: list[int] = []
_calls = 0


@dataclass
class State:
    """A state that can be changed, as none should be."""

    names: list[str] = field(default_factory=lambda: ["ann", "bob"])
    tags: frozenset[str] = frozenset(WORDS)


class Kept:
    calls = 0


def by_the_clock(number: int, _: State) -> float:
    return number + int(time.time())


def by_a_monotonic_clock(number: int, _: State) -> int:
    return number + time.monotonic_ns()


def by_now(number: int, _: State) -> tuple[int, datetime]:
    return number, datetime.now(UTC)


def by_today(_number: int, _: State) -> date:
    return date.today()  # noqa: DTZ011 - it is caught for this


def by_local_time(_number: int, _: State) -> int:
    return time.localtime().tm_year


def by_chance(number: int, _: State) -> bool:
    return random.random() < number  # as above


def by_choice(_number: int, state: State) -> str:
    return random.Random(7).choice(state.names)  # as above


def by_a_random_id(number: int, _: State) -> str:
    return f"{number}-{uuid.uuid4()}"


def by_a_secret(number: int, _: State) -> str:
    return f"{number}-{secrets.token_hex(4)}"


def by_the_environment(_number: int, _: State) -> str | None:
    return os.environ.get("HOME")


def by_the_folder(_number: int, _: State) -> str:
    return os.getcwd()  # noqa: PTH109 - the zoo shows what is caught


def by_a_file(_number: int, _: State) -> int:
    return len(Path(__file__).read_text())


def by_the_host(_number: int, _: State) -> str:
    return socket.gethostname()


def to_the_terminal(number: int, _: State) -> int:
    print(number)  # noqa: T201 - the zoo shows what is caught
    return number


def by_a_global_number(number: int, _: State) -> int:
    global _calls  # noqa: PLW0603 - the zoo shows what is caught
    _calls += 1
    return number


def by_a_global_list(number: int, _: State) -> int:
    _seen.append(number)
    return number


def _note(number: int) -> None:
    _seen.append(number)


def by_a_function_that_notes(number: int, _: State) -> int:
    _note(number)
    return number


def by_a_global_iterator(number: int, _: State) -> int:
    return number + next(_numbers)


def by_a_class(number: int, _: State) -> int:
    Kept.calls += 1
    return number + Kept.calls


def by_a_default(number: int, _: State, seen: list[int] = []) -> int:  # noqa: B006 - the zoo shows what is caught
    seen.append(number)
    return number


def _counting() -> Callable[[int, State], int]:
    calls = 0

    def by_what_it_encloses(number: int, _: State) -> int:
        nonlocal calls
        calls += 1
        return number

    return by_what_it_encloses


def by_its_argument(number: int, state: State) -> int:
    state.names.append("eve")
    return number


def by_the_order_of_a_set(_number: int, _: State) -> str:
    return ",".join({word.upper() for word in WORDS})


def by_the_order_of_a_states_set(_number: int, state: State) -> tuple[str, ...]:
    return tuple(state.tags)


def by_a_seeded_hash(_number: int, _: State) -> int:
    return hash("anchor") % 7


def by_an_address(_number: int, state: State) -> int:
    return id(state) % 7


def in_floats(number: int, _: State) -> float:
    return number * 0.1


def in_floats_within(number: int, _: State) -> dict[str, list[float]]:
    return {"shares": [number / 3]}


IMPURE: dict[Callable[..., Any], str] = {
    by_the_clock: "the clock",
    by_a_monotonic_clock: "the clock",
    by_now: "the clock",
    by_today: "the clock",
    by_local_time: "the clock",
    by_chance: "randomness",
    by_choice: "randomness",
    by_a_random_id: "the operating system: urandom()",
    by_a_secret: "the operating system",
    by_the_environment: "the environment",
    by_the_folder: "the operating system: getcwd()",
    by_a_file: "a file: open()",
    by_the_host: "the network: gethostname()",
    to_the_terminal: "the terminal: print()",
    by_a_global_number: "changed the global _calls",
    by_a_global_list: "changed the global _seen",
    by_a_function_that_notes: "changed the global _seen",
    by_a_global_iterator: "two answers",
    by_a_class: "two answers",
    by_a_default: "changed a default",
    _counting(): "changed the enclosed calls",
    by_its_argument: "changed what it was given",
    by_the_order_of_a_set: "the order of a set",
    by_the_order_of_a_states_set: "the order of a set",
    by_a_seeded_hash: "hash()",
    by_an_address: "an address: id()",
    in_floats: "the float",
    in_floats_within: "the float",
}


def sums(number: int, _: State) -> Decimal:
    return sum(PRICES.values(), Decimal(number))


def a_division(number: int, _: State) -> Decimal:
    return Decimal(number) / Decimal(7)


def a_sorted_set(_number: int, state: State) -> list[str]:
    return sorted(state.tags | {"zebra"})


def a_look_into_a_set(number: int, state: State) -> bool:
    return number in {1, 2, 3} or "anchor" in state.tags


def the_size_of_a_set(_number: int, state: State) -> int:
    return len(set(state.names))


def a_set(_number: int, state: State) -> set[str]:
    return {name.upper() for name in state.names}


def days_later(number: int, _: State) -> date:
    return date(2026, 1, 31) + timedelta(days=number)


def a_time_from_text(number: int, _: State) -> datetime:
    return datetime.strptime(f"2026-01-{number:02} +0000", "%Y-%m-%d %z")


def a_match(number: int, _: State) -> str:
    match number:
        case 0 | 1:
            return "few"
        case _:
            return "many"


def a_pattern(number: int, _: State) -> list[str]:
    return re.findall(r"\d", f"a{number}b{number}")


def an_id_by_name(number: int, _: State) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_URL, str(number))


def a_digest(number: int, _: State) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def a_json_text(number: int, state: State) -> str:
    return json.dumps({"number": number, "names": state.names}, sort_keys=True)


def a_local_list(number: int, state: State) -> list[str]:
    names = [*state.names]
    names.append(str(number))
    names.sort(reverse=True)
    return names


def a_local_counter(number: int, state: State) -> dict[str, int]:
    found: defaultdict[str, int] = defaultdict(int)
    for name in state.names:
        found[name] += number
    return dict(found) | dict(Counter(state.names))


def a_local_closure(number: int, _: State) -> int:
    total = 0

    def add(more: int) -> None:
        nonlocal total
        total += more

    for each in range(number):
        add(each)
    return total


def a_fold(number: int, state: State) -> str:
    return reduce(lambda one, other: f"{one}+{other}", state.names, str(number))


def a_caught_error(number: int, _: State) -> str:
    try:
        return str(PRICES[str(number)])
    except KeyError:
        return "free"


def an_import_of_its_own(number: int, _: State) -> int:
    import calendar

    return calendar.monthrange(2026, number % 12 + 1)[1]


PURE: tuple[Callable[..., Any], ...] = (
    sums,
    a_division,
    a_sorted_set,
    a_look_into_a_set,
    the_size_of_a_set,
    a_set,
    days_later,
    a_time_from_text,
    a_match,
    a_pattern,
    an_id_by_name,
    a_digest,
    a_json_text,
    a_local_list,
    a_local_counter,
    a_local_closure,
    a_fold,
    a_caught_error,
    an_import_of_its_own,
)
