"""Schemas on their way into the frozen files: what `refold schemas check` says of a second version."""

from tests.matrix.rows import Row
from tests.schemas.test_compatibility import CORPUS

CASES = {
    "incompatible: another type": "int to long",
    "incompatible: no default": "added without a default",
    "recursive": "recursion",
    "items that take no bytes": "items of no bytes",
    "a default of a wrong type": "a text for a number",
    "a default that is no symbol": "a symbol that is not there",
    "a field twice": "a field twice",
    "an enum twice": "a name twice",
    "a symbol twice": "a symbol twice",
    "another logical type": "number to time",
    "a logical type that is not read": "micros to millis",
    "a decimal of another scale": "another scale",
}
ROWS = [
    Row("schema registration", name, CORPUS[case][0], " ".join(["3", *sorted(f"{r} {p}" for r, p in CORPUS[case][1])]))
    for name, case in CASES.items()
]
