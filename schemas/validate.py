"""Turns JSON into a command in canonical form. A value that its type forbids is refused, never coerced or rounded."""

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal, DecimalException
from functools import cache
from inspect import signature
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from refold.schemas import exact_text, strict_json
from refold.schemas.arithmetic import EXACT
from refold.schemas.avro import resolved, schema_of
from refold.schemas.binary import LEAST_LONG, MOST_LONG
from refold.schemas.contracts import Command, Event
from refold.schemas.errors import BadValue, Malformed

Contract = TypeVar("Contract", bound=Event | Command)
Found = TypeVar("Found")
Step = Callable[[Any, str], Any]
"""From a value and its JSON path to its canonical form (the same object if it is canonical). Raises BadValue."""

_once: Callable[[Callable[[Any], Found]], Callable[[Any], Found]] = cache
"""`cache` for functions of a class: the type checker does not see that a class with two bases is hashable."""

_PATH = re.compile(r" - at `(\$[^`]*)`$")


def from_json(body: bytes, cls: type[Contract]) -> Contract:
    """Decode and check. Raises Malformed for bad JSON, BadValue with the JSON path for a wrong field."""
    strict_json.check(body)
    return from_sound_json(body, cls)


def from_sound_json(body: bytes, cls: type[Contract]) -> Contract:
    """The same for JSON that `strict_json` has checked, alone or as a part. Raises BadValue."""
    try:
        found = msgspec.json.decode(body, type=cls)
    except msgspec.ValidationError as problem:
        raise bad_value(problem) from problem
    except msgspec.DecodeError as problem:
        raise Malformed(str(problem)) from problem
    exact_text.check(body, cls)
    return canonical(found)


def from_fields(fields: dict[str, Any], cls: type[Contract]) -> Contract:
    """Build an instance from fields that code passed, with every bound checked. Raises BadValue."""
    exact_text.check_fields(fields, cls)
    try:
        return canonical(msgspec.convert(fields, cls))
    except msgspec.ValidationError as problem:
        raise bad_value(problem) from problem


def from_avro(fields: dict[str, Any], cls: type[Contract]) -> Contract:
    """The same for fields just read from Avro, whose decimals and times always have canonical form."""
    try:
        made = msgspec.convert(fields, cls)
    except msgspec.ValidationError as problem:
        raise bad_value(problem) from problem
    for name, step in _text_steps(cls):
        step(getattr(made, name), name)
    return made


def from_log(fields: dict[str, Any], cls: type[Contract]) -> Contract:
    """Build an event without checking bounds: a bound made tighter later does not undo a fact."""
    for name, fix in _forms(cls):
        if fields.get(name) is not None:
            fields[name] = fix(fields[name])
    return cls(**fields)


def all_from_log(columns: Sequence[list[Any]], count: int, cls: type[Contract]) -> list[Contract]:
    """The same for `count` events at once, with a column for each field in the class's order."""
    return list(each_from_log(columns, count, cls))


def each_from_log(columns: Sequence[list[Any]], count: int, cls: type[Contract]) -> Iterator[Contract]:
    """The same one by one: each event is made when it is asked for."""
    names = cls.__struct_fields__
    if not names:
        return (cls() for _ in range(count))
    forms = dict(_forms(cls))
    fixed = [
        [item if item is None else forms[name](item) for item in column] if name in forms else column
        for name, column in zip(names, columns, strict=True)
    ]
    if names == _by_position(cls):
        return map(cls, *fixed)
    return (cls(**dict(zip(names, values, strict=True))) for values in zip(*fixed, strict=True))


def checked(value: Contract) -> Contract:
    """A command or event made by code, in canonical form, with every bound checked. Raises BadValue."""
    return from_fields(msgspec.structs.asdict(value), type(value))


def canonical(value: Contract) -> Contract:
    """The value with decimals at their scale and times in UTC: equal bodies have equal bytes. Raises BadValue."""
    changes = {}
    for name, step in _steps(type(value)):
        held = getattr(value, name)
        fixed = step(held, name)
        if fixed is not held:
            changes[name] = fixed
    return msgspec.structs.replace(value, **changes) if changes else value


@_once
def _steps(cls: type[Event | Command]) -> tuple[tuple[str, Step], ...]:
    """The fields that need a check that msgspec does not make."""
    fields = resolved(schema_of(cls, "any.any")["fields"][1:])
    found = ((field["name"], _step(field["type"])) for field in fields)
    return tuple((name, step) for name, step in found if step is not None)


@_once
def _text_steps(cls: type[Event | Command]) -> tuple[tuple[str, Step], ...]:
    texts = {f["name"] for f in resolved(schema_of(cls, "any.any")["fields"][1:]) if _holds_text(f["type"])}
    return tuple((name, step) for name, step in _steps(cls) if name in texts)


def _holds_text(kind: Any) -> bool:
    if isinstance(kind, list):
        return _holds_text(kind[1])
    return kind == "string" or (isinstance(kind, dict) and kind["type"] == "array" and _holds_text(kind["items"]))


@_once
def _forms(cls: type[Event | Command]) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
    """The fields whose Python form differs from Avro's: enums and tuples."""
    found = ((f.name, _form(inspect.type_info(f.type))) for f in msgspec.structs.fields(cls))
    return tuple((name, form) for name, form in found if form is not None)


@_once
def _by_position(cls: type[Event | Command]) -> tuple[str, ...]:
    """The names of the fields that the class takes by position, in order."""
    try:
        taken = signature(cls).parameters.values()
    except ValueError:  # a field has a name like `class`, which a Python signature cannot have
        return ()
    return tuple(each.name for each in taken if each.kind is each.POSITIONAL_OR_KEYWORD)


def _form(declared: inspect.Type) -> Callable[[Any], Any] | None:
    match declared:
        case inspect.Metadata(type=annotated):
            return _form(annotated)
        case inspect.UnionType(types=types):
            return next((form for part in types if (form := _form(part)) is not None), None)
        case inspect.EnumType(cls=enum):
            return enum
        case inspect.VarTupleType(item_type=item):
            return _sequence(tuple, _form(item))
        case inspect.ListType(item_type=item):
            inner = _form(item)
            return _sequence(list, inner) if inner else None
    return None


def _sequence(kind: type, form: Callable[[Any], Any] | None) -> Callable[[Any], Any]:
    if form is None:
        return kind
    return lambda held: kind(item if item is None else form(item) for item in held)


def _step(kind: Any) -> Step | None:
    match kind:
        case ["null", inner]:
            step = _step(inner)
            return _unless_none(step) if step else None
        case {"type": "array", "items": items}:
            step = _step(items)
            return _each(step) if step else None
        case {"logicalType": "decimal"}:
            return _decimal(kind["precision"], kind["scale"])
        case {"logicalType": "timestamp-micros"}:
            return in_utc
    steps: dict[str, Step] = {"string": _text, "long": _long}
    return steps.get(kind) if isinstance(kind, str) else None


def _unless_none(step: Step) -> Step:
    return lambda held, path: None if held is None else step(held, path)


def _each(step: Step) -> Step:
    def fix(held: Any, path: str) -> Any:
        fixed = [step(item, f"{path}[{place}]") for place, item in enumerate(held)]
        return held if all(map(_same, fixed, held)) else type(held)(fixed)

    return fix


def _same(one: object, other: object) -> bool:
    return one is other


def _decimal(precision: int, scale: int) -> Step:
    quantum, zero = EXACT.scaleb(Decimal(1), -scale), EXACT.scaleb(Decimal(0), -scale)
    limit = EXACT.scaleb(Decimal(1), precision - scale)
    least = limit.copy_negate()

    def fix(held: Decimal, path: str) -> Decimal:
        if not held.is_finite():
            raise BadValue(f"Expected a number, got {held}", f"$.{path}")
        if not least < held < limit:
            raise BadValue(f"Expected at most {precision} digits, got {_shown(held)}", f"$.{path}")
        if not held and held.is_signed():  # -0 has no bytes of its own
            return zero
        if held.same_quantum(quantum):
            return held
        try:
            return held.quantize(quantum, context=EXACT)
        except DecimalException:
            raise BadValue(f"Expected at most {scale} decimal places, got {_shown(held)}", f"$.{path}") from None

    return fix


def in_utc(held: datetime, path: str) -> datetime:
    """A time in UTC. Raises BadValue for a time without offset, or outside the years 1-9999 in UTC."""
    if held.tzinfo is UTC:
        return held
    if held.tzinfo is None:
        raise BadValue("Expected a time with its offset from UTC", f"$.{path}")
    try:
        return held.astimezone(UTC)
    except OverflowError:
        raise BadValue("Expected a time from year 1 to 9999 in UTC", f"$.{path}") from None


def _long(held: int, path: str) -> int:
    if not LEAST_LONG <= held <= MOST_LONG:
        raise BadValue(f"Expected a 64-bit integer, got {_shown(held)}", f"$.{path}")
    return held


def _text(held: str, path: str) -> str:
    if "\0" in held:
        raise BadValue("Expected text without NUL", f"$.{path}")
    if not held.isascii():
        try:
            held.encode()
        except UnicodeEncodeError:
            raise BadValue("Expected text, got a lone surrogate", f"$.{path}") from None
    return held


def _shown(number: Decimal | int) -> str:
    """A client's number, shortened for a message."""
    if isinstance(number, int) and number.bit_length() > 256:
        return f"one of {number.bit_length()} bits"
    text = str(number)
    return text if len(text) <= 60 else f"{text[:60]}…"


def bad_value(problem: msgspec.ValidationError) -> BadValue:
    """A refusal by msgspec as a BadValue with its JSON path."""
    text = str(problem)
    at = _PATH.search(text)
    return BadValue(_PATH.sub("", text), at.group(1) if at else "$")
