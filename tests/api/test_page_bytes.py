"""Pages of large values end early, through a real server and a real Postgres."""

from collections.abc import Iterator

import pytest

from tests.api.shelf import HTTP, Site, serving

pytestmark = pytest.mark.usefixtures("servers")


@pytest.fixture(scope="module")
def site(module_database: str) -> Iterator[Site]:
    with serving(module_database) as found:
        yield found


@pytest.mark.parametrize("kind", ["text", "character(400)", "bytea", "jsonb", "text[]", "numeric"])
def test_a_page_of_large_values_ends_early_and_the_next_goes_on_behind_it(
    site: Site, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """By every order, also where the cursor names rows by hashes; a row beyond the bound is a page of its own."""
    monkeypatch.setattr("refold.api.http.reads.planning.shape.PAGE_BYTES", 1500)
    lengths = [1, 700, 3000, 700, 700, 1, 1, 3000, 3000, 1, 1, 1400, 1, 1]
    written = {"jsonb": '["{}"]', "text[]": '{{"{}"}}', "bytea": "\\x{}"}.get(kind, "{}")
    rows = [[n, written.format(f"{n % 9 + 1}" * (length + length % 2))] for n, length in enumerate(lengths)]
    path = site.make(f"large {kind}", {"n": "integer", "v": kind}, ["n"], rows, view=False)
    for order in ("n", "n.desc", "v", "v.desc"):
        pages, url = list[list[int]](), f"{path}?order={order}&limit=5"
        while url:
            page = HTTP.get(url)
            pages.append([row["n"] for row in page.json()])
            url = site.following(page)
        assert sorted(n for page in pages for n in page) == list(range(len(rows)))
        assert all(pages)
        assert any(len(page) < 5 for page in pages[:-1]), "one ended early"
        if kind == "text" and order == "n":
            assert pages == [[0, 1], [2], [3, 4, 5, 6], [7], [8], [9, 10, 11, 12, 13]]
    assert [row["n"] for row in HTTP.get(f"{path}?limit=1&n=eq.2").json()] == [2]


def test_a_page_holds_eight_mebibytes_of_texts_however_many_rows_are_asked_for(site: Site) -> None:
    rows = [[n, "x" * (1 << 20)] for n in range(11)]
    path = site.make("huge", {"n": "integer", "v": "text"}, ["n"], rows)
    first = HTTP.get(f"{path}?limit=1000")
    assert ([row["n"] for row in first.json()], first.headers["content-range"]) == (list(range(8)), "0-7/*")
    rest = HTTP.get(site.following(first))
    assert ([row["n"] for row in rest.json()], rest.headers["content-range"]) == ([8, 9, 10], "8-10/*")
    assert "link" not in rest.headers
