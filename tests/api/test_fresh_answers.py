"""What answers say of their freshness, and what is answered without reading rows: through a real server and Postgres."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from tests.api.shelf import HTTP, Site, serving

TOPIC = "retail.basket.events"
LONG_AGO = datetime(2026, 1, 31, 12, 0, 0, 250_000, tzinfo=UTC)


@pytest.fixture(scope="module")
def site(module_database: str) -> Iterator[Site]:
    with serving(module_database) as found:
        yield found


def made(site: Site, name: str) -> str:
    """A model with one row that stands where the core does, since January; its path."""
    path = site.make(name, {"id": "bigint", "name": "text"}, ["id"], [[1, "ann"]], view=False)
    served(site, name)
    stand(site, "core", 7)
    stand(site, "models", 7)
    return path


def served(site: Site, name: str) -> None:
    site.db.execute(
        "INSERT INTO refold.builds (domain, model, fingerprint, status) VALUES ('shelf', %s, 'f', 'serving')", (name,)
    )


def stand(site: Site, group: str, offset: int, at: datetime = LONG_AGO) -> None:
    site.db.execute(
        "INSERT INTO refold.positions (grp, topic, part, next_offset, last_at) VALUES (%s, %s, 0, %s, %s)"
        " ON CONFLICT (grp, topic, part) DO UPDATE SET next_offset = excluded.next_offset, last_at = excluded.last_at",
        (group, TOPIC, offset, at),
    )


def tag_of(path: str) -> str:
    return HTTP.get(path).headers["etag"]


def asked(path: str, **headers: str) -> httpx.Response:
    return HTTP.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})


def test_an_answer_says_how_fresh_its_rows_are(site: Site) -> None:
    path = made(site, "fresh")
    for one in (path, f"{path}/1"):
        found = HTTP.get(one).headers
        assert found["refold-position"] == f"{TOPIC}/0:7"
        assert (found["refold-lag"], found["refold-age"]) == ("0", "0")
        assert found["refold-as-of"] == "2026-01-31T12:00:00.250Z"
        assert found["etag"].startswith('W/"')
    assert HTTP.get(f"{path}/2").headers["refold-as-of"] == "2026-01-31T12:00:00.250Z", (
        "of a row that is not there, too"
    )


def test_a_client_that_has_the_rows_is_answered_without_the_table(site: Site) -> None:
    path = made(site, "known")
    tags = {one: tag_of(one) for one in (path, f"{path}?limit=1", f"{path}/1")}
    assert len(set(tags.values())) == 3
    site.db.execute("ALTER TABLE shelf.known RENAME TO away")
    for one, tag in tags.items():
        found = asked(one, If_None_Match=tag)
        assert (found.status_code, found.content, found.headers["etag"]) == (304, b"", tag)
        assert found.headers["refold-position"] == f"{TOPIC}/0:7"
        assert "content-length" not in found.headers
    assert asked(path, If_None_Match='W/"other"').status_code == 503, "the table is read for whoever has other rows"


def test_one_tag_is_of_the_rows_compressed_and_plain(site: Site) -> None:
    path = site.make("packed", {"id": "bigint", "name": "text"}, ["id"], [[1, "a" * 3000]], view=False)
    served(site, "packed")
    answers = {coding: asked(path, Accept_Encoding=coding) for coding in ("gzip", "identity")}
    assert answers["gzip"].headers["content-encoding"] == "gzip"
    assert int(answers["gzip"].headers["content-length"]) < 200
    assert answers["gzip"].json() == answers["identity"].json()
    assert answers["gzip"].headers["etag"] == answers["identity"].headers["etag"]
    for coding in answers:
        for answer in answers.values():
            known = asked(path, Accept_Encoding=coding, If_None_Match=answer.headers["etag"])
            assert (known.status_code, known.content) == (304, b"")
            assert "Accept-Encoding" in known.headers["vary"]
            assert "content-encoding" not in known.headers
    assert asked(path, Accept_Encoding="gzip", Range="0-0").headers["content-encoding"] == "gzip", "rows, not bytes"
    assert "content-encoding" not in HTTP.head(path, headers={"accept-encoding": "gzip"}).headers
    refused = asked(path, Accept_Encoding="*;q=0")
    assert (refused.status_code, refused.json()["code"]) == (406, "not-acceptable")


REBUILT = """
    UPDATE refold.builds SET status = 'retired' WHERE model = 'tagged';
    INSERT INTO refold.builds (domain, model, fingerprint, status) VALUES ('shelf', 'tagged', 'f', 'serving')
"""


def test_a_tag_is_other_once_the_rows_may_be(site: Site) -> None:
    path = made(site, "tagged")
    tag = tag_of(path)
    assert asked(path, If_None_Match=tag).status_code == 304
    stand(site, "models", 8)
    moved = asked(path, If_None_Match=tag)
    assert (moved.status_code, moved.json()) == (200, [{"id": 1, "name": "ann"}])
    parked = "INSERT INTO refold.parked (build, category, stream, part, first_offset, code, reason) VALUES (0, 'retail.basket', 'b', 0, 1, 'x', 'x')"
    for change in (
        parked,
        "DELETE FROM refold.parked",
        REBUILT,
    ):
        before = tag_of(path)
        site.db.execute(change.encode())
        assert asked(path, If_None_Match=before).status_code == 200, change
    stand(site, "models", 7)


def test_rows_are_unmodified_since_a_time_only_while_they_are(site: Site) -> None:
    path = made(site, "dated")
    until = time.monotonic() + 60
    while "last-modified" not in (found := HTTP.get(path).headers):
        assert time.monotonic() < until
        time.sleep(0.05)
    since = found["last-modified"]
    assert asked(path, If_Modified_Since=since).status_code == 304
    assert asked(path, If_Modified_Since="Sat, 31 Jan 2026 12:00:00 GMT").status_code == 200
    assert asked(path, If_Modified_Since=since, If_None_Match='"other"').status_code == 200
    stand(site, "models", 8)
    assert asked(path, If_Modified_Since=since).status_code == 200
    stand(site, "models", 7)


def test_rows_older_than_asked_are_refused_and_an_idle_log_is_not_old(site: Site) -> None:
    path = made(site, "aged")
    assert asked(path, Refold_Max_Age="0").status_code == 200, "nothing has come since January"
    stand(site, "core", 9)
    late = asked(path, Refold_Max_Age="5", Prefer="wait=0")
    assert (late.status_code, late.json()["code"], late.headers["retry-after"]) == (412, "too-old", "1")
    assert (late.headers["refold-lag"], late.headers["refold-as-of"]) == ("2", "2026-01-31T12:00:00.250Z")
    assert int(late.headers["refold-age"]) > 86_400
    assert asked(path).status_code == 200, "who asks for nothing gets what there is"
    stand(site, "models", 8, datetime.now(UTC) - timedelta(seconds=2))
    assert asked(path, Refold_Max_Age="3600", Prefer="wait=0").status_code == 200
    assert asked(path, Refold_Max_Age="0.5", Prefer="wait=0", If_None_Match=tag_of(path)).status_code == 412
    assert asked(path, Refold_Max_Age="soon").json()["code"] == "header-invalid"
    stand(site, "core", 7)
    stand(site, "models", 7)


def test_a_view_is_as_fresh_as_the_least_fresh_table_that_it_reads(site: Site) -> None:
    made(site, "other")
    path = site.make("view", {"id": "bigint"}, ["id"], [[1]])
    before = HTTP.get(path).headers
    assert (before["refold-age"], before["refold-as-of"]) == ("0", "2026-01-31T12:00:00.250Z")
    site.db.execute("UPDATE refold.builds SET detached_code = 'model-failed' WHERE model = 'other'")
    number = site.db.execute("SELECT build FROM refold.builds WHERE model = 'other'").fetchone()
    assert number is not None
    stand(site, f"build:{number[0]}", 5, LONG_AGO - timedelta(hours=1))
    after = HTTP.get(path).headers
    assert (after["refold-position"], after["refold-lag"], after["refold-detached"]) == (
        f"{TOPIC}/0:5",
        "2",
        "model-failed",
    )
    assert after["refold-as-of"] == "2026-01-31T11:00:00.250Z"
    assert after["etag"] != before["etag"]
