"""Records which streams are parked and how many of their events were passed over. Only this module writes `refold.parked`."""

from collections.abc import Mapping, Sequence

from refold.projections import metrics
from refold.projections.partials.batch import ALL_BUILDS, Park
from refold.streams.postgres.connection import Database, Statements


def park(
    db: Statements, parks: Sequence[Park], waiting: Mapping[tuple[str, str], int], build: int = ALL_BUILDS
) -> None:
    """Park streams and count what waits, in the transaction that moves the position past them."""
    for found in sorted(parks, key=lambda one: (one.category, one.stream)):
        metrics.PARKED.labels(found.category, found.code).inc()
        db.execute(
            "INSERT INTO refold.parked (build, category, stream, part, first_offset, code, reason) VALUES (%s, %s, %s, %s, %s, %s, %s)"
            " ON CONFLICT (build, category, stream) DO NOTHING",
            (
                found.build,
                found.category,
                found.stream,
                found.part,
                found.first_offset,
                found.code,
                found.reason[:2000],
            ),
        )
    for (category, stream), number in sorted(waiting.items()):
        metrics.WAITING.labels(category).inc(number)
        db.execute(
            "UPDATE refold.parked SET waiting = waiting + %s WHERE build = %s AND category = %s AND stream = %s",
            (number, build, category, stream),
        )


def all_parked(db: Database) -> list[tuple[str, str, str]]:
    """Category, stream and code of every park."""
    return db.execute("SELECT DISTINCT category, stream, code FROM refold.parked").fetchall()


def count(db: Database, builds: Sequence[int]) -> int:
    """Number of parks of some builds."""
    ((number,),) = db.execute("SELECT count(*) FROM refold.parked WHERE build = ANY(%s)", (list(builds),)).fetchall()
    return int(number)


def forget(db: Database, build: int) -> None:
    """Remove all parks of a build that is dropped."""
    db.execute("DELETE FROM refold.parked WHERE build = %s", (build,))


def let_go(db: Database, category: str, stream: str, builds: Sequence[int]) -> None:
    """Remove the parks of one stream for some builds."""
    db.execute(
        "DELETE FROM refold.parked WHERE category = %s AND stream = %s AND build = ANY(%s)",
        (category, stream, list(builds)),
    )
