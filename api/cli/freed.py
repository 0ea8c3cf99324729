"""Says what a drop frees, or would free."""

from refold.api.cli.output import say
from refold.schemas.plurals import counted

_UNITS = "bytes", "kB", "MB", "GB", "TB"


def say_dropped(number: int, things: str, freed: int, *, execute: bool) -> None:
    """Print how many things are dropped, and the bytes that this frees; without `execute`, that they would be."""
    if not number:
        say(f"There is nothing to drop: no {things} are chosen.")
        return
    say(
        f"Dropped: {number}. Freed: {size_text(freed)}."
        if execute
        else f"Would drop {counted(number, things)} and free {size_text(freed)}. Add --execute to do it."
    )


def size_text(bytes_: int) -> str:
    """Bytes for people."""
    number, unit = float(bytes_), 0
    while number >= 1000 and unit < len(_UNITS) - 1:
        number, unit = number / 1000, unit + 1
    return f"{number:,.0f} {_UNITS[unit]}" if unit == 0 else f"{number:,.1f} {_UNITS[unit]}"
