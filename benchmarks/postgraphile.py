"""Measures pages of 50 rows beside PostGraphile 5 on the same tables: `python -m benchmarks.postgraphile [--rounds 3]`. Last line JSON.

Both answer the same columns of the same rows in the same orders to the same clients, in turn, first while nothing is written, then while
commands move the model. It needs Node and a registry of its packages.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import uvloop
from psycopg.conninfo import conninfo_to_dict

from benchmarks import batches
from benchmarks.latency import Pids, running_stack
from benchmarks.reads import MODEL, ORDERS, WARM_UP_S, Paths, both, filled, load, pages
from refold.api.demo.latency import Connection, Response

VERSION = "5.1.5"
ROWS = 50
PROGRAM = """
Promise.withResolvers ??= () => {  // Node 20 lacks it
  const kept = {};
  kept.promise = new Promise((resolve, reject) => Object.assign(kept, { resolve, reject }));
  return kept;
};
const { createServer } = await import("node:http");
const { postgraphile } = await import("postgraphile");
const { PostGraphileAmberPreset } = await import("postgraphile/presets/amber");
const { makePgService } = await import("postgraphile/adaptors/pg");
const { grafserv } = await import("postgraphile/grafserv/node");
const connectionString = process.env.POSTGRES;
const pgl = postgraphile({
  extends: [PostGraphileAmberPreset],
  pgServices: [makePgService({ connectionString, schemas: ["retail"] })],
  grafserv: { graphqlOverGET: true, graphiql: false, watch: false },
});
const server = createServer();
await pgl.createServ(grafserv).addTo(server);
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
"""


@contextmanager
def postgraphile(folder: Path, dsn: str) -> Iterator[tuple[str, int]]:
    """The URL and the process of a PostGraphile in production mode, stopped at the end."""
    (folder / "package.json").write_text(
        json.dumps({"private": True, "type": "module", "dependencies": {"postgraphile": VERSION}})
    )
    (folder / "program.mjs").write_text(PROGRAM)
    install = ["npm", "install", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"]
    subprocess.run(install, cwd=folder, check=True, timeout=300)
    mode = {"NODE_ENV": "production", "GRAPHILE_ENV": "production", "POSTGRES": as_url(dsn)}
    search = {"PATH": os.environ["PATH"]}
    with subprocess.Popen(
        ["node", "program.mjs"], cwd=folder, env={**search, **mode}, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}", server.pid
        finally:
            server.terminate()


def as_url(dsn: str) -> str:
    """A libpq connection string in the form that Node's driver reads."""
    parts = {name: quote(str(value), safe="") for name, value in conninfo_to_dict(dsn).items()}
    secret = f":{parts['password']}" if "password" in parts else ""
    return f"postgres://{parts['user']}{secret}@{parts['host']}:{parts['port']}/{parts['dbname']}"


def theirs(columns: list[str]) -> Callable[[], Paths]:
    """Their requests for the pages that `reads.pages` asks of us."""
    fields = " ".join(_camel(column) for column in columns)
    orders = [
        f"{name.upper()}_{'DESC' if way == 'desc' else 'ASC'}"
        for name, _, way in (order.partition(".") for order in ORDERS)
    ]
    asked = [f"{{allBaskets(first:{ROWS},orderBy:{order}){{nodes{{{fields}}}}}}}" for order in orders]
    return lambda: cycle([f"/graphql?query={quote(query, safe='')}" for query in asked])


async def columns_of(url: str, their_url: str) -> list[str]:
    """The columns of a page. Raises AssertionError unless both servers give the same page."""
    page = f"{MODEL}?limit={ROWS}&order={ORDERS[0]}"
    ours = json.loads((await _got(url, page)).body)
    columns = list(ours[0])
    answer = json.loads((await _got(their_url, next(theirs(columns)()))).body)
    given = [list(row.values()) for row in answer["data"]["allBaskets"]["nodes"]]
    assert len(given) == ROWS, answer
    assert [row[0] for row in given] == [row[columns[0]] for row in ours], "the pages differ"
    return columns


async def _got(url: str, path: str) -> Response:
    connection = await Connection.to(url)
    answer = await connection.ask("GET", path, {"Accept": "application/json"})
    connection.close()
    assert answer.status in {200, 206}, answer
    return answer


def _camel(column: str) -> str:
    first, *others = column.split("_")
    return first + "".join(other.capitalize() for other in others)


def round_of(
    servers: dict[str, tuple[str, Callable[[], Paths], Pids]], ours: str, arguments: argparse.Namespace, moves: float
) -> dict[str, dict[str, float]]:
    """Pages a second, and CPU by page of the server and of Postgres, of each server in turn."""
    found = {}
    for name, (url, paths, pids) in servers.items():
        uvloop.run(load(url, paths(), arguments.clients, WARM_UP_S))
        before = batches.cpu(pids())
        times, _ = uvloop.run(both(url, paths(), arguments, moves, api=ours))
        after = batches.cpu(pids())
        found[name] = {
            "per_s": round(len(times) / arguments.seconds),
            "p50_ms": round(times[len(times) // 2] * 1000, 2),
            **{part: round((after[part] - before[part]) / len(times) * 1e6, 1) for part in after},
        }
        print(f"{name}: {found[name]}", file=sys.stderr)
    return found


def medians(rounds: list[dict[str, dict[str, float]]]) -> dict[str, object]:
    names = rounds[0]
    each = {
        name: {what: statistics.median(one[name][what] for one in rounds) for what in names[name]} for name in names
    }
    ratios = [one["refold"]["per_s"] / one["postgraphile"]["per_s"] for one in rounds]
    return {**each, "ratios": [round(ratio, 2) for ratio in ratios]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--moves", type=float, default=20.0)
    arguments = parser.parse_args()
    with running_stack() as stack, tempfile.TemporaryDirectory() as node:
        asyncio.run(filled(stack.api_url, uuid4().hex[:12]))
        with postgraphile(Path(node), stack.settings.dsn()) as (url, pid):
            pids = stack.pids()
            servers: dict[str, tuple[str, Callable[[], Paths], Pids]] = {
                "refold": (stack.api_url, pages, lambda: {"server": pids["api"], "postgres": pids["postgres"]}),
                "postgraphile": (
                    url,
                    theirs(asyncio.run(columns_of(stack.api_url, url))),
                    lambda: {"server": pid, "postgres": pids["postgres"]},
                ),
            }
            found = {
                what: medians([round_of(servers, stack.api_url, arguments, moves) for _ in range(arguments.rounds)])
                for what, moves in (("still", 0.0), ("moving", arguments.moves))
            }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
