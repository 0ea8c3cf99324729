"""The rows of a page as other tools ask for them: a URL, curl, SQL, Python. Pure."""

import re
import shlex
from collections.abc import Iterator

from psycopg import sql

from refold.api.http.reads.planning.plan import Plan

_SLOT = re.compile("%([%s])")


def copies(url: str, plan: Plan, limit: int, *, key: bool) -> dict[str, str]:
    """The same rows by each tool. `key`: the API wants one, and its reader has it in REFOLD_KEY."""
    curl = f"curl {shlex.quote(url)}"
    headers = ', headers={"Authorization": f"Bearer {os.environ[\'REFOLD_KEY\']}"}' if key else ""
    python = [
        "import json",
        *(["import os"] if key else []),
        "from urllib.request import Request, urlopen",
        "",
        f"rows = json.load(urlopen(Request({url!r}{headers})))",
    ]
    return {
        "URL": url,
        "curl": f'{curl} -H "Authorization: Bearer $REFOLD_KEY"' if key else curl,
        "SQL": as_sql(plan, limit),
        "Python": "\n".join(python),
    }


def as_sql(plan: Plan, limit: int) -> str:
    """The query as a statement that `refold sql` or psql takes, its values written into it as literals."""
    statement = plan.shape.selection(limit)
    values: Iterator[object] = iter(plan.values[slot] for slot in statement.slots)

    def filled(found: re.Match[str]) -> str:
        return "%" if found[1] == "%" else sql.Literal(next(values)).as_string(None)

    return _SLOT.sub(filled, statement.text)
