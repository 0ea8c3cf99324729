"""Bytes that nobody of ours wrote: refused with a reason, by rows and by columns alike, without a crash or a flood."""

import os
import random
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from refold.schemas.binary import long_bytes
from refold.schemas.catalog import CLAIM_WRITER
from refold.schemas.codec import Codec, read_command_envelope, read_envelope
from refold.schemas.contracts import Event
from refold.schemas.errors import BadValue, Undecodable
from refold.schemas.meta import CommandMeta, Meta
from tests.schemas import shapes
from tests.schemas.decoding import assert_alike
from tests.schemas.shapes import CATALOG, METAS, OF_EVENT

CODEC = Codec(CATALOG)
FAST = [phase for phase in Phase if phase not in {Phase.shrink, Phase.explain}]


def resized(value: bytes) -> bytes:
    """The value with its size corrected: only a decoder can tell that it is wrong."""
    return value[:5] + len(value).to_bytes(4) + value[9:]


def lists(**changes: Any) -> bytes:
    base: dict[str, Any] = {"smalls": [1, 2], "larges": (3,), "texts": ["a", ""], "maybe": None, "last": 7}
    return CODEC.event(shapes.meta(), shapes.Lists(**{**base, **changes}))


def optional(**fields: Any) -> bytes:
    return CODEC.event(shapes.meta(), shapes.Optional(**fields))


def empty_with(body: bytes, of: bytes) -> bytes:
    """A record of `of`'s schema whose body is other bytes."""
    head = CODEC.event(shapes.meta(), shapes.Empty())
    return resized(of[:5] + head[5:] + body)


PLAIN = CODEC.event(
    shapes.meta(),
    shapes.Plain(
        flag=True,
        small=1,
        large=1,
        text="",
        amount=Decimal("1.00"),
        at=shapes.meta().occurred_at,
        day=shapes.meta().occurred_at.date(),
        color=shapes.Color.RED,
        again=shapes.Color.RED,
    ),
)
GOOD = [
    PLAIN,
    lists(),
    optional(small=5),
    CODEC.event(shapes.meta(stream="s-2"), shapes.Empty()),
    lists(texts=["x" * 300]),
]
LISTS, OPTIONAL = lists(), optional()
HUGE = long_bytes(2**62)
BAD: dict[str, tuple[bytes | None, str]] = {
    "null": (None, "null"),
    "empty": (b"", "no-header"),
    "one byte": (b"\0", "no-header"),
    "header alone": (LISTS[:9], "size"),
    "wrong magic": (b"\1" + LISTS[1:], "no-header"),
    "unknown id": (b"\0\7\7\7\7" + LISTS[5:], "unknown-schema"),
    "id of another shape": (resized(OPTIONAL[:5] + LISTS[5:]), "malformed"),
    "size too small": (LISTS[:5] + (len(LISTS) - 1).to_bytes(4) + LISTS[9:], "size"),
    "truncated": (LISTS[:-1], "size"),
    "truncated, size corrected": (resized(LISTS[:-1]), "malformed"),
    "cut in the envelope": (resized(LISTS[:60]), "malformed"),
    "nothing but frame": (resized(LISTS[:9]), "malformed"),
    "trailing": (LISTS + b"\0", "size"),
    "trailing, size corrected": (resized(LISTS + b"\0"), "trailing"),
    "array bomb": (empty_with(HUGE, LISTS), "malformed"),
    "array bomb of six bytes": (empty_with(b"\xfe\xff\xff\xff\xff\x0f", LISTS), "malformed"),
    "array of negative count": (empty_with(long_bytes(-(2**63)) + b"\2\0", LISTS), "malformed"),
    "string of 50 MB": (empty_with(b"\0\0\2" + long_bytes(50_000_000) + b"abc", LISTS), "malformed"),
    "string of negative length": (empty_with(b"\0\0\2" + long_bytes(-3) + b"abc", LISTS), "malformed"),
    "string that is no UTF-8": (empty_with(b"\0\0\2\4\xff\xfe\0\0\0\16", LISTS), "malformed"),
    "int of 33 bits": (empty_with(b"\2" + long_bytes(2**32 + 5) + b"\0\0\0\0\0", LISTS), "malformed"),
    "last int of 33 bits": (empty_with(b"\0\0\0\0" + long_bytes(2**32 + 5), LISTS), "malformed"),
    "number of 11 bytes": (empty_with(b"\0\2" + b"\xff" * 10 + b"\1\0\0\0\0", LISTS), "malformed"),
    "third branch": (empty_with(b"\0\4\2\0\0\0\0\0", OPTIONAL), "malformed"),
    "negative branch": (empty_with(b"\0\1\2\0\0\0\0\0", OPTIONAL), "malformed"),
    "boolean of 2": (empty_with(b"\2\2\0\0\0\0\0\0", OPTIONAL), "malformed"),
    "required boolean of 2": (PLAIN.replace(b"\1\2\2\0", b"\2\2\2\0"), "malformed"),
    "required boolean of 255": (PLAIN.replace(b"\1\2\2\0", b"\xff\2\2\0"), "malformed"),
    "symbol that is not there": (PLAIN[:-1] + b"\6", "malformed"),
    "symbol of negative place": (PLAIN[:-1] + b"\1", "malformed"),
    "time beyond year 9999": (empty_with(b"\0\0\0\0\0\2" + HUGE + b"\0", OPTIONAL), "malformed"),
    "day beyond year 9999": (empty_with(b"\0\0\0\0\0\0\2" + long_bytes(2**30), OPTIONAL), "malformed"),
    "day of 33 bits": (empty_with(b"\0\0\0\0\0\0\2" + long_bytes(2**32), OPTIONAL), "malformed"),
    "decimal of too many digits": (empty_with(b"\0\0\0\0\2\x10" + b"\x7f" * 8 + b"\0\0", OPTIONAL), "malformed"),
    "decimal of 17 bytes": (empty_with(b"\0\0\0\0\2\x22" + b"\0" * 16 + b"\5\0\0", OPTIONAL), "malformed"),
    "NUL in the stream": (LISTS.replace(b"s-1", b"s\x001"), "malformed"),
}
ODD_BUT_RIGHT: dict[str, bytes] = {
    "array in two blocks": empty_with(b"\2\2\2\4\0\0\0\0\16", LISTS),
    "array with the size of its block": empty_with(b"\3\4\2\4\0\0\0\0\16", LISTS),
    "number longer than needed": empty_with(b"\0\0\0\0\x8e\x00", LISTS),
    "decimal longer than needed": empty_with(b"\0\0\0\0\2\x06\0\0\5\0\0", OPTIONAL),
    "empty decimal": empty_with(b"\0\0\0\0\2\0\0\0", OPTIONAL),
    "branch longer than needed": empty_with(b"\x82\x00\1\0\0\0\0\0\0", OPTIONAL),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_bytes_are_named_and_their_neighbours_are_read(name: str) -> None:
    value, reason = BAD[name]
    rows, refused, _ = assert_alike(CATALOG, [*GOOD, value, *GOOD])
    assert refused == {len(GOOD): reason}
    assert len(rows) == 2 * len(GOOD)
    with pytest.raises(Undecodable):
        CODEC.read_event(value)
    with pytest.raises((Undecodable, BadValue)):
        CODEC.read_command(value)


@pytest.mark.parametrize("name", ODD_BUT_RIGHT)
def test_valid_avro_of_other_writers_is_read(name: str) -> None:
    value = ODD_BUT_RIGHT[name]
    rows, refused, fell_back = assert_alike(CATALOG, [*GOOD, value])
    assert refused == {}
    assert len(rows) == len(GOOD) + 1
    assert fell_back > 0 or name == "number longer than needed"


def test_all_of_them_in_one_chunk() -> None:
    values: list[bytes | None] = [*GOOD]
    values += [bad for bad, _ in BAD.values()]
    values += ODD_BUT_RIGHT.values()
    _, refused, _ = assert_alike(CATALOG, values)
    assert refused == {len(GOOD) + i: reason for i, (_, reason) in enumerate(BAD.values())}


@pytest.mark.parametrize("moved", range(1, 40))
def test_a_boundary_moved_between_two_records(moved: int) -> None:
    first, second = lists(), lists(texts=["b"])
    values = [*GOOD, resized(first + second[:moved]), resized(second[moved:]), *GOOD]
    _, refused, _ = assert_alike(CATALOG, values)
    assert refused.keys() == {len(GOOD), len(GOOD) + 1}


def test_a_boundary_moved_where_both_ends_look_right() -> None:
    """The first record takes the head of the second, which becomes a head of its own: only lengths tell."""
    one = lists(texts=["a"], last=0)
    values = [resized(one[:-1]), resized(one + b"\0")]
    _, refused, _ = assert_alike(CATALOG, values)
    assert refused == {0: "malformed", 1: "trailing"}


@pytest.mark.parametrize("read", [read_envelope, read_command_envelope, CODEC.read_event, CODEC.read_command])
@given(value=st.binary(max_size=200) | st.sampled_from(GOOD).flatmap(lambda good: st.just(good[:40])))
@settings(max_examples=200, deadline=None)
def test_readers_of_single_records_are_total(read: Callable[[bytes], object], value: bytes) -> None:
    for candidate in (value, resized(b"\0" * 9 + value), resized(LISTS[:9] + value)):
        try:
            read(candidate)
        except (Undecodable, BadValue):
            continue


def mutated(value: bytes, rng: random.Random) -> bytes:
    """A few bytes set, put in, cut out or made longer than needed, mostly where counts, lengths and branches stand."""
    raw = bytearray(value)
    for _ in range(rng.randint(0, 2)):
        at = rng.randrange(min(rng.choice((9, 73, 105)), len(raw) - 1), len(raw))
        match rng.randrange(6):
            case 0:
                raw[at:at] = bytes([rng.choice([0, 2, 4, 128])])
            case 1:
                del raw[at]
            case 2:
                raw[at : at + 1] = bytes([raw[at] | 128, rng.choice([0, 1, 128])])
            case _:
                raw[at] = rng.choice([0, 1, 2, 3, 4, 5, 6, 127, 128, 255, rng.randrange(256)])
    return resized(bytes(raw))


@given(seed=st.integers(0, 2**32), events=st.lists(st.tuples(METAS, st.one_of(*OF_EVENT.values())), max_size=4))
@settings(max_examples=150, deadline=None, phases=FAST)
def test_mutations(seed: int, events: list[tuple[Meta, Event]]) -> None:
    """Sizes are right, bytes are not: the decoders agree on every one of them."""
    rng = random.Random(seed)
    values = [CODEC.event(meta, event) for meta, event in events] + rng.sample(GOOD, 2)
    assert_alike(CATALOG, [mutated(value, rng) for value in values])


@given(value=st.binary(min_size=1, max_size=80))
@settings(max_examples=60, deadline=None, phases=FAST)
def test_random_claims(value: bytes) -> None:
    assert_alike(CATALOG, [resized(b"\0" + CLAIM_WRITER.id.to_bytes(4) + bytes(4) + value)])


def test_a_text_with_nul_in_a_commands_envelope_is_refused() -> None:
    meta = CommandMeta(
        command_id=shapes.meta().command_id,
        category="tests.shapes",
        stream="s-1",
        occurred_at=shapes.meta().occurred_at,
        actor="x\0y",
    )
    command = shapes.DoAll(stream="s-1", small=1, amount=Decimal("1.00"))
    with pytest.raises(Undecodable):
        CODEC.read_command(CODEC.command(meta, command))


BOMBS = """
import resource, sys
from tests.schemas.test_hostile import BAD, CATALOG, GOOD, assert_alike
assert_alike(CATALOG, GOOD)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() if sys.platform == "linux" else 1 << 32
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
resource.setrlimit(resource.RLIMIT_AS, (used + (300 << 20), used + (300 << 20)))
for value, reason in BAD.values():
    assert_alike(CATALOG, [*GOOD, value, *GOOD])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS and ru_maxrss differ elsewhere")
def test_bombs_go_off_in_a_small_room() -> None:
    """Polars panics once; to look up the frames of that takes memory, and without enough it may hang."""
    quiet = os.environ | {"RUST_BACKTRACE": "0"}
    ran = subprocess.run(
        [sys.executable, "-c", BOMBS], env=quiet, capture_output=True, text=True, timeout=200, check=False
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert int(ran.stdout) < 150_000, "kilobytes"
