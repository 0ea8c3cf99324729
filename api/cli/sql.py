"""`refold sql`."""

from contextlib import closing
from typing import Annotated

import psycopg
from cyclopts import Parameter

from refold.api.cli.exits import DONE, FAILED
from refold.api.cli.output import print_json, print_table, say
from refold.streams.embedded.servers import analyst_address
from refold.streams.errors import NotConnected
from refold.streams.postgres import answering
from refold.streams.refusals import first_line
from refold.streams.settings import Settings

Query = Annotated[str | None, Parameter(show_default=False)]


def sql(query: Query = None, /, *, json: bool = False) -> int:
    """Ask the read models by SQL, with the login that may only read; without QUERY print its address.

    Args:
        query: one statement.
        json: print the rows as one JSON document.
    """
    address = analyst_address(Settings.load())
    if address is None:
        raise NotConnected(
            "No login for analysts is known: no embedded Postgres runs in the data folder, and `analyst_url` is not set.",
            "Run `refold dev` in another terminal, or set REFOLD_ANALYST_URL (docs/sql.md says how to make the login).",
        )
    if query is None:
        print(address)
        return DONE
    options = "-c default_transaction_read_only=on -c timezone=UTC"
    with answering(), closing(psycopg.connect(address, autocommit=True, connect_timeout=5, options=options)) as db:
        try:
            cursor = db.execute(query.encode(), prepare=True)  # Postgres prepares one statement, and refuses several
        except psycopg.OperationalError:
            raise
        except psycopg.Error as problem:
            say(f"refold: {problem.sqlstate}: {first_line(problem)}")
            return FAILED
        names = [column.name for column in cursor.description or ()]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()] if names else []
    if json:
        print_json(rows)
    else:
        print_table(rows)
    return DONE
