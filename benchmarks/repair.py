"""Measures repair, verify and explain beside a rebuild of the same models: `python -m benchmarks.repair [--weeks 53]`. Last line JSON.

The log is a year of receipts. In each round the models are rebuilt, verified, and 600 rows of each are changed by hand and repaired;
then one row of each is explained. A repair must find exactly the changed rows, and a verify none afterwards. While the rebuilds run and are
shown to readers, a connection that takes the models' lock as a worker does notes how long it had to wait.
"""

import argparse
import json
import random
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from statistics import median

from benchmarks.models import chosen
from benchmarks.pause import Pause
from benchmarks.rebuild import fold_core
from benchmarks.year import say, servers_with_log
from refold.projections.explaining.explainer import Asked, Explainer
from refold.projections.replay.command import Replay
from refold.projections.replay.wanted_keys import Wanted
from refold.projections.tables import builds
from refold.projections.tables.declared import declared
from refold.streams.domain import load_domains
from refold.streams.log.history import History
from refold.streams.postgres.connection import Database, connect
from refold.streams.settings import Settings

KEYS = 600
CHANGED = {"baskets": "total", "store_daily": "revenue", "product_sales": "revenue", "households": "points"}
"""A column to change by hand, by model."""
Measured = dict[str, list[float]]


def quiet(_done: int, _total: int) -> None:
    pass


def timed(found: Measured, name: str, work: Callable[[], None]) -> None:
    """Note how many seconds the work takes."""
    began = time.perf_counter()
    work()
    found.setdefault(name, []).append(time.perf_counter() - began)


def some_keys(db: Database, settings: Settings, model: str, chance: random.Random) -> list[list[str]]:
    """At most KEYS keys of a model's rows."""
    names = declared(settings.domains).named(model).key_names
    columns = ", ".join(f"{name}::text" for name in names)
    rows = db.execute(f"SELECT {columns} FROM retail.{model} ORDER BY 1".encode()).fetchall()
    return [list(row) for row in chance.sample(rows, min(KEYS, len(rows)))]


def change(db: Database, settings: Settings, model: str, keys: Sequence[Sequence[str]]) -> None:
    """Change a column of these rows by hand."""
    (live,) = [one for one in builds.builds(db) if (one.model, one.status) == (model, "serving")]
    names, column = declared(settings.domains).named(model).key_names, CHANGED[model]
    same = " AND ".join(f"{name}::text = k.{name}" for name in names)
    arrays = ", ".join(["%s::text[]"] * len(names))
    statement = f"UPDATE {live.schema}.{model} t SET {column} = {column} + 1 FROM unnest({arrays}) AS k({', '.join(names)}) WHERE {same}"
    statement = statement.replace(" WHERE ", " WHERE t.").replace(" AND ", " AND t.")
    db.execute(statement.encode(), [list(column) for column in zip(*keys, strict=True)])


def repaired(
    found: Measured, settings: Settings, db: Database, replay: Replay, model: str, chance: random.Random
) -> None:
    """Change rows of one model by hand, and repair them."""
    keys = some_keys(db, settings, model, chance)
    if not keys:
        return
    change(db, settings, model, keys)
    done = replay.repair(model, Wanted(keys), quiet, execute=True)
    assert (done.changed, done.differing) == (len(keys), len(keys)), model
    found.setdefault(f"repair {model}", []).append(done.seconds)
    found.setdefault(f"held {model}", []).append(done.held_s)
    how = "its streams" if done.by_stream else "the log"
    say(
        f"repair of {len(keys)} rows of {model}: {done.seconds:.2f} s by {how}, {done.records:,} records, held {done.held_s} s"
    )


def explained(found: Measured, settings: Settings, db: Database, model: str, chance: random.Random) -> None:
    """Explain one row of a model, by an explainer that knows nothing yet."""
    keys = some_keys(db, settings, model, chance)[:1]
    domains = load_domains(settings.domains)
    if keys:
        history = History(settings.kafka_servers(), settings.topic_prefix, domains)
        with closing(Explainer(settings, domains.catalog, declared(settings.domains), history)) as explainer:
            timed(found, f"explain {model}", lambda: _adds_up(explainer, model, keys[0]))


def _adds_up(explainer: Explainer, model: str, key: list[str]) -> None:
    assert explainer.explain(Asked("retail", model, key)).adds_up


def one_round(found: Measured, settings: Settings, chance: random.Random) -> None:
    """A rebuild, a verify, a rebuild of each model, repairs and explanations."""
    with Replay(settings) as replay, connect(settings.dsn(), application_name="bench") as db:
        with Pause(settings.dsn()) as pause:
            timed(found, "rebuild", lambda: _rebuilt(replay, ()))
        found.setdefault("writers paused", []).append(pause.longest_s)
        timed(found, "verify", lambda: _verified(replay))
        for model in CHANGED:
            timed(found, f"rebuild {model}", lambda model=model: _rebuilt(replay, (model,)))  # type: ignore[misc]  # mypy cannot infer the default
            repaired(found, settings, db, replay, model, chance)
        for model in CHANGED:
            explained(found, settings, db, model, chance)
        _verified(replay)


def _rebuilt(replay: Replay, names: tuple[str, ...]) -> None:
    assert all(one.differing == 0 for one in replay.execute(names, quiet).models)


def _verified(replay: Replay) -> None:
    assert replay.verify((), quiet).equal


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weeks", type=int, default=53)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    found: Measured = {}
    with chosen("four"), servers_with_log(arguments.weeks) as (settings, records):
        say(f"core fold: {fold_core(settings, records):,.0f} records/s")
        with Replay(settings) as replay:
            replay.execute((), quiet)
        for number in range(arguments.rounds):
            one_round(found, settings, random.Random(number))
    middle = {name: median(times) for name, times in found.items()}
    for name, seconds in middle.items():
        say(f"{name}: {seconds:.3f} s")
    whole = middle["rebuild"]
    shares = {model: round(middle[f"repair {model}"] / whole, 3) for model in CHANGED if f"repair {model}" in middle}
    alone = {model: round(middle[f"repair {model}"] / middle[f"rebuild {model}"], 3) for model in shares}
    explains = {model: round(1000 * middle[f"explain {model}"]) for model in CHANGED if f"explain {model}" in middle}
    print(
        json.dumps(
            {
                "records": records,
                "rebuild_s": round(whole, 2),
                "verify_ratio_rebuild": round(middle["verify"] / whole, 2),
                "repair_ratio_rebuild": shares,
                "repair_ratio_rebuild_of_model": alone,
                "rebuild_paused_ms": round(1000 * middle["writers paused"]),
                "repair_held_ms": {model: round(1000 * middle[f"held {model}"]) for model in shares},
                "explain_ms": explains,
            }
        )
    )


if __name__ == "__main__":
    main()
