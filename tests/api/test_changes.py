"""Changes over HTTP from the real log and tables: where a stream begins, goes on, is reset and ends. The page's blocks run."""

import json
import os
import re
import shutil
import signal
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from refold.api.cli.app import run
from refold.api.cli.stack import Stack
from tests.e2e.following import Event, events_of

pytestmark = pytest.mark.timeout(180)
PAGE = (Path(__file__).parent.parent.parent / "docs/changes.md").read_text()
STORE = 330


@pytest.fixture(scope="module")
def api(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.api_url, timeout=60, headers={"Prefer": "wait=30"}) as client:
        yield client


def scan(api: httpx.Client, store: int = STORE) -> str:
    """Open a basket and scan a line; the position behind it."""
    name = f"c-{uuid.uuid4().hex[:12]}"
    answer = send(api, "OpenBasket", {"basket_id": name, "store_id": store})
    line = {"basket_id": name, "product_id": 5, "quantity": 2, "amount": "3.30", "discount": "0.20"}
    answer = send(api, "ScanItem", line)
    position = answer.headers["refold-position"]
    fresh = api.get(f"/v1/retail/store_daily?store_id=eq.{store}", headers={"Refold-Min-Position": position})
    assert fresh.status_code == 200
    return str(fresh.headers["refold-position"])


def send(api: httpx.Client, command: str, body: dict[str, Any]) -> httpx.Response:
    key = {"Idempotency-Key": str(uuid.uuid4())}
    answer = api.post(f"/v1/commands/retail/basket/{command}", json=body, headers=key)
    assert answer.status_code == 201, answer.text
    return answer


class Listening:
    """One connection; each event as it comes."""

    def __init__(self, api: httpx.Client, path: str, last: str = "") -> None:
        self._stream = api.stream("GET", path, headers={"Last-Event-ID": last} if last else {})

    def __enter__(self) -> Iterator[Event]:
        answer = self._stream.__enter__()
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert answer.headers["cache-control"] == "no-store"
        return events_of(answer.iter_lines())

    def __exit__(self, *_: object) -> None:
        self._stream.__exit__(None, None, None)


def until_position(events: Iterator[Event]) -> tuple[list[Event], str]:
    """The events up to the next position or reset, and its id."""
    found = []
    for event in events:
        found.append(event)
        if event[0] in {"position", "reset"} and event[1]:
            return found, event[1]
    raise AssertionError(found)


def until(events: Iterator[Event], name: str) -> Event:
    """The next event of the name: a basket's opening and its line may come in one batch or in two."""
    return next(event for event in events if event[0] == name)


PATH = f"/v1/retail/store_daily/changes?store_id=eq.{STORE}"


def test_a_stream_goes_on_where_it_was_left(api: httpx.Client) -> None:
    scan(api)
    with Listening(api, f"{PATH}&since=beginning") as events:
        (row, _), place = until_position(events)
        assert row[0] == "row"
        assert [json.loads(row[2])] == api.get(f"/v1/retail/store_daily?store_id=eq.{STORE}").json()
    scan(api, 331)
    scan(api)
    after = scan(api)
    with Listening(api, f"{PATH}&since=beginning", place) as events:
        told, later = until_position(events)
        assert [event[0] for event in told] == ["row", "position"], "one batch, and only this store"
        assert json.loads(told[0][2])["lines"] == json.loads(row[2])["lines"] + 2
        assert later.partition("@")[2] == after
    with Listening(api, f"{PATH}&since={place.partition('@')[2]}") as events:
        assert until_position(events) == (told, later)
    with Listening(api, PATH) as events:
        assert [event[0] for event in until_position(events)[0]] == ["position"], "from now on"


def test_a_row_that_its_filter_no_longer_shows_is_removed(api: httpx.Client) -> None:
    scan(api, 332)
    with Listening(api, "/v1/retail/store_daily/changes?store_id=eq.332&lines=eq.1&since=beginning") as events:
        assert [event[0] for event in until_position(events)[0]] == ["row", "position"]
        scan(api, 332)
        assert json.loads(until(events, "removed")[2]).keys() == {"store_id", "day"}
        assert until_position(events)[0][-1][0] == "position"


def test_another_table_or_another_log_is_told_as_a_reset(api: httpx.Client) -> None:
    position = scan(api)
    for last, reason in (
        (f"0123456789ab@{position}", "table-changed"),
        ("of another server", "table-changed"),
        (re.sub(r":\d+", ":999999", position), "position-unknown"),
    ):
        with Listening(api, PATH, last) as events:
            ((name, place, data),), _ = until_position(events)
            assert (name, json.loads(data)) == ("reset", {"reason": reason, "rows": "read"})
            assert place.partition("@")[2] == position
        with Listening(api, f"{PATH}&since=beginning", last) as events:
            told, _ = until_position(events)
            assert [event[0] for event in told] == ["reset", "row", "position"]
            assert json.loads(told[0][2]) == {"reason": reason, "rows": "follow"}


def test_a_stream_that_is_let_go_on_a_promoted_rebuild_and_a_repair_reset_whoever_listens(
    api: httpx.Client, stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scan(api)
    with psycopg.connect(stack.settings.dsn(), autocommit=True) as db, Listening(api, PATH) as events:
        until_position(events)
        db.execute(
            "INSERT INTO refold.parked (build, category, stream, part, first_offset, code, reason)"
            " VALUES (0, 'retail.basket', 'nobody', 0, 0, 'test', 'test')"
        )
        scan(api)
        told, _ = until_position(events)
        assert told[-1][0] == "position", "a stream that waits from now on changes no row"
        db.execute("DELETE FROM refold.parked")
        assert json.loads(until(events, "reset")[2])["reason"] == "table-changed"
        for name, value in stack.settings.environment().items():
            monkeypatch.setenv(name, value)
        assert run(["replay", "rebuild", "store_daily", "--execute", "--json"]) == 0
        capsys.readouterr()
        assert json.loads(until(events, "reset")[2])["reason"] == "table-changed"
        scan(api)
        assert [event[0] for event in until_position(events)[0]] == ["row", "position"]
        number = db.execute(
            "SELECT build FROM refold.builds WHERE model = 'store_daily' AND status = 'serving'"
        ).fetchone()
        assert number is not None
        db.execute(f"UPDATE refold_b{number[0]}.store_daily SET lines = 0 WHERE store_id = {STORE}".encode())
        assert run(["replay", "repair", "store_daily", "--where", f"store_id=eq.{STORE}", "--execute", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["changed"] == 1
        assert json.loads(until(events, "reset")[2])["reason"] == "table-changed"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v1/retail/store_totals/changes", "changes-of-view"),
        ("/v1/retail/nothing/changes", "model-unknown"),
        (f"{PATH}&limit=5", "parameter-unknown"),
        (f"{PATH}&order=day", "parameter-unknown"),
        (f"{PATH}&colour=eq.red", "parameter-unknown"),
        (f"{PATH}&lines=eq.x", "filter-invalid"),
        (f"{PATH}&day=gte.today", "filter-invalid"),
        ("/v1/retail/store_daily/changes?day=eq.2026-02-30", "filter-invalid"),
        ("/v1/retail/store_daily/changes?day=eq.99999-02-30", "filter-invalid"),
        (f"{PATH}&since=yesterday", "position-malformed"),
        (f"{PATH}&since=now&since=now", "filter-invalid"),
    ],
)
def test_a_wrong_request_is_refused_before_the_stream_begins(api: httpx.Client, path: str, code: str) -> None:
    assert api.get(path).json()["code"] == code


def test_a_stream_is_never_anything_else(api: httpx.Client) -> None:
    answer = api.get(PATH, headers={"Accept": "application/json, text/*;q=0"})
    assert (answer.status_code, answer.json()["code"]) == (406, "not-acceptable")
    assert answer.json()["detail"].endswith(": text/event-stream")


def test_a_row_is_found_whose_key_is_the_word(api: httpx.Client) -> None:
    assert api.get("/v1/retail/baskets?basket_id=eq.changes").json() == []


def test_the_pages_blocks_run(api: httpx.Client, stack: Stack, tmp_path: Path) -> None:
    scan(api)
    (shell,) = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    environment = {"PATH": os.environ["PATH"], "REFOLD": stack.api_url}
    shell = shell.replace("curl -sN", "exec curl -sN --max-time 100")
    with subprocess.Popen(["bash", "-c", shell], env=environment, stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        told = ""
        for line in following.stdout:
            told += line
            if line.startswith("id: "):
                break
        following.kill()
    assert told.startswith("retry: 1000\n\nevent: row\ndata: {")
    assert "\n\nevent: position\nid: " in told
    if (node := shutil.which("node")) is None:
        pytest.skip("no node on this machine: the JavaScript block was not run")
    (script,) = re.findall(r"^```js\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    program = tmp_path / "rows.mjs"
    program.write_text(f"{EVENT_SOURCE}\nconst REFOLD = '{stack.api_url}';\n{script}")
    told = subprocess.run([node, program], capture_output=True, text=True, check=True, timeout=100).stdout
    assert [row["store_id"] for row in json.loads(told) if row["store_id"] == STORE] == [STORE]


EVENT_SOURCE = """
class EventSource extends EventTarget {
  constructor(url) { super(); this.follow(url); }
  async follow(url) {
    let text = "";
    for await (const part of (await fetch(url)).body) {
      text += Buffer.from(part).toString();
      const blocks = text.split("\\n\\n");
      text = blocks.pop();
      for (const block of blocks) {
        const field = (name) => (block.match(new RegExp(`^${name}: (.*)$`, "m")) ?? [])[1];
        if (field("data")) this.dispatchEvent(Object.assign(new Event(field("event")), { data: field("data") }));
      }
    }
  }
}
const show = (rows) => { console.log(JSON.stringify(rows)); process.exit(0); };
"""


def test_a_process_that_stops_ends_its_streams_and_another_goes_on(api: httpx.Client, stack: Stack) -> None:
    scan(api)
    with Listening(api, PATH) as events:
        _, place = until_position(events)
        os.kill(stack.pids()["api"], signal.SIGTERM)
        (name, none, data), *more = list(events)
        assert (name, none, json.loads(data)["code"], more) == ("end", "", "stopping", [])
    stack.wait_until_ready()
    scan(api)
    with Listening(api, PATH, place) as events:
        assert [event[0] for event in until_position(events)[0]] == ["row", "position"]
