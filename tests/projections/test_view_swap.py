"""A promote changes a view's columns: our dependent views are made again, grants stay, foreign views are named."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from refold.projections.declaring.declaration import Rollup, View
from refold.projections.declaring.gathering import Column, key
from refold.projections.errors import CannotPromote, StillDeclared, UnknownModel
from refold.projections.live.process import ensure_builds
from refold.projections.replay import promote
from refold.projections.replay.undeclared import chosen, drop, undeclared
from refold.projections.tables import builds, tables
from refold.projections.tables.declared import Declared, declared_of
from refold.projections.tables.views import restore_views
from refold.streams.operation.presence import Me
from refold.streams.postgres.connection import Database
from tests.projections.sample import spent

PAYMENTS, AMOUNT, MOST = spent.count("All."), spent.sum("amount", "All."), spent.max("amount", "Most.")
V1 = {"payments": PAYMENTS, "amount": AMOUNT}


def rollup(columns: dict[str, Column]) -> Rollup:
    return Rollup(
        name="totals", domain="sample", description="T.", key={"owner": key("owner", "Who.")}, columns=columns
    )


def view(name: str, column: str, kind: str = "bigint") -> View:
    columns = {"owner": ("text", "Who."), column: (kind, "Of it.")}
    return View(
        name=name,
        domain="sample",
        description="V.",
        columns=columns,
        key=("owner",),
        reads=("totals",),
        sql=f"SELECT owner, {column} FROM sample.totals",
    )


def version(columns: dict[str, Column], *views: View) -> Declared:
    return declared_of((rollup(columns), *views))


def promoted(db: Database, found: Declared) -> None:
    layout = found.named("totals")
    build = builds.create(db, layout, found.fingerprints["sample", "totals"], "shadow")
    tables.create(db, layout, build)
    promote.promote(db, found, layout, build)


def columns_of(db: Database, name: str) -> Sequence[tuple[str, str]]:
    return db.execute(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = 'sample' AND table_name = %s"
        " ORDER BY ordinal_position",
        (name,),
    ).fetchall()


def grants(db: Database, name: str) -> set[str]:
    rows = db.execute(
        "SELECT a.grantee::regrole::text || ' ' || a.privilege_type FROM pg_class c, aclexplode(c.relacl) a"
        " WHERE c.oid = to_regclass(%s) AND a.grantee <> c.relowner",
        (f"sample.{name}",),
    )
    return {grant for (grant,) in rows}


def name_only(db: Database) -> set[str]:
    rows = db.execute("SELECT table_name FROM information_schema.views WHERE table_schema = 'sample'")
    return {name for (name,) in rows}


@pytest.mark.parametrize(
    "columns",
    [
        {**V1, "most": MOST},
        {"most": MOST, **V1},
        {"payments": PAYMENTS, "most": MOST, "amount": AMOUNT},
        {"payments": PAYMENTS, "amount": spent.count("Retyped.")},
        {"payments": PAYMENTS, "money": AMOUNT},
        {"payments": PAYMENTS},
    ],
    ids=["added", "inserted first", "inserted in the middle", "retyped", "renamed", "removed"],
)
def test_columns_change_under_a_declared_view_there_and_back(db: Database, columns: dict[str, Column]) -> None:
    before, after = version(V1, view("counts", "payments")), version(columns, view("counts", "payments"))
    ensure_builds(db, before)
    db.execute("REVOKE ALL ON sample.counts FROM refold_analyst")
    db.execute("GRANT SELECT ON sample.totals TO PUBLIC")
    db.execute("GRANT SELECT ON sample.counts TO pg_read_all_stats WITH GRANT OPTION")
    kept = grants(db, "totals"), grants(db, "counts")
    for found in (after, before, after):
        promoted(db, found)
        assert [name for name, _ in columns_of(db, "totals")] == [part.name for part in found.named("totals").shown]
        assert columns_of(db, "counts") == [("owner", "text"), ("payments", "bigint")]
        assert (grants(db, "totals"), grants(db, "counts")) == kept


def test_an_array_of_a_view_counts_from_one_wherever_it_began(db: Database) -> None:
    arrays = View(
        name="arrays",
        domain="sample",
        description="V.",
        columns={"n": ("bigint", "N."), "a": ("integer[]", "A."), "t": ("varchar(2)[]", "T.")},
        key=("n",),
        reads=("totals",),
        sql="""SELECT 1 AS n, '[0:1]={5,6}'::int[] AS a, '[3:3]={abc}'::text[] AS t
            UNION ALL SELECT 2, '[2:3][0:1]={{1,2},{3,4}}', '{}' UNION ALL SELECT 3, NULL, '{NULL}'
            UNION ALL SELECT count(*) + 4, NULL, NULL FROM sample.totals""",
    )
    ensure_builds(db, version(V1, arrays))
    rows = db.execute("SELECT n, a::text, t::text FROM sample.arrays ORDER BY n").fetchall()
    assert rows == [(1, "{5,6}", "{ab}"), (2, "{{1,2},{3,4}}", "{}"), (3, None, "{NULL}"), (4, None, None)]
    assert db.execute("SELECT n FROM sample.arrays WHERE a = '{5,6}'").fetchall() == [(1,)]


def test_a_view_that_changes_with_its_table_changes_in_one_transaction_with_it(db: Database) -> None:
    before = version(V1, view("money", "amount", "numeric(38,2)"))
    after = version({"payments": PAYMENTS, "net": AMOUNT}, view("money", "net", "numeric(38,2)"))
    ensure_builds(db, before)
    for found, column in ((after, "net"), (before, "amount")):
        promoted(db, found)
        assert [name for name, _ in columns_of(db, "money")] == ["owner", column]


def test_a_view_that_other_code_declares_comes_back_where_its_columns_are_still_there(db: Database) -> None:
    before = version(V1, view("counts", "payments"), view("money", "amount", "numeric(38,2)"))
    ensure_builds(db, before)
    promoted(db, version({"most": MOST, "payments": PAYMENTS}))
    assert name_only(db) == {"totals", "counts"}, "what reads a column that is gone cannot be"
    promoted(db, before)
    assert name_only(db) == {"totals", "counts", "money"}


def test_views_of_somebody_else_are_named_and_nothing_changes(db: Database) -> None:
    ensure_builds(db, version(V1, view("counts", "payments")))
    db.execute("CREATE VIEW public.mine AS SELECT payments FROM sample.counts")
    db.execute('CREATE MATERIALIZED VIEW public."Also mine" AS SELECT amount FROM sample.totals')
    db.execute("GRANT SELECT ON sample.totals TO PUBLIC")
    before = columns_of(db, "totals"), columns_of(db, "counts"), grants(db, "totals")
    with pytest.raises(CannotPromote) as refused:
        promoted(db, version({"most": MOST, **V1}, view("counts", "payments")))
    assert "public.mine" in refused.value.message
    assert "public.Also mine" in refused.value.message
    assert "sample.counts" not in refused.value.message
    assert "message names" in refused.value.remedy
    assert (columns_of(db, "totals"), columns_of(db, "counts"), grants(db, "totals")) == before
    promoted(db, version({**V1, "most": MOST}, view("counts", "payments")))
    assert [name for name, _ in columns_of(db, "totals")] == ["owner", "payments", "amount", "most"]


def test_a_declaration_that_was_replaced_comes_back_only_once_nobody_declares_the_one_that_is_shown(
    db: Database,
) -> None:
    """An old worker that starts again in the middle of a deploy would undo it."""
    old, new = version(V1, view("v", "payments")), version(V1, view("v", "amount", "numeric(38,2)"))
    ensure_builds(db, old)
    ensure_builds(db, new)
    assert [name for name, _ in columns_of(db, "v")] == ["owner", "amount"]
    ((fingerprint,),) = db.execute("SELECT fingerprint FROM refold.views WHERE serving").fetchall()
    ensure_builds(db, old, {("sample", "v", fingerprint)})
    assert [name for name, _ in columns_of(db, "v")] == ["owner", "amount"]
    ensure_builds(db, old)
    assert [name for name, _ in columns_of(db, "v")] == ["owner", "payments"]


def test_a_worker_of_old_code_brings_its_view_back_when_the_new_code_is_gone(db: Database) -> None:
    old, new = version(V1, view("v", "payments")), version(V1, view("v", "amount", "numeric(38,2)"))
    ensure_builds(db, old)
    assert not restore_views(db, old, set())
    ensure_builds(db, new)
    living = {(*name, fingerprint) for name, fingerprint in new.all_fingerprints.items()}
    assert not restore_views(db, old, living)
    assert not restore_views(db, new, set())
    assert restore_views(db, old, set())
    assert [name for name, _ in columns_of(db, "v")] == ["owner", "payments"]
    assert not restore_views(db, old, set())


def test_what_is_not_declared_any_more_is_listed_and_dropped_with_its_views(db: Database) -> None:
    old = declared_of((rollup(V1), replace(rollup(V1), name="gone"), view("counts", "payments")))
    ensure_builds(db, old)
    new = version(V1)
    assert undeclared(db, old) == []
    assert [(part.name, part.kind) for part in undeclared(db, new)] == [("counts", "view"), ("gone", "table")]
    drop(db, new, chosen(undeclared(db, new), ["sample.gone", "counts"], new))
    assert name_only(db) == {"totals"}
    assert undeclared(db, new) == []
    assert [build.model for build in builds.builds(db)] == ["totals"]
    with pytest.raises(UnknownModel):
        chosen(undeclared(db, new), ["nobody"], new)
    with pytest.raises(StillDeclared, match="totals is declared by this code"):
        chosen(undeclared(db, new), ["totals"], new)


def test_a_view_is_no_read_model_to_be_built_and_the_error_says_what_it_reads() -> None:
    found = declared_of((rollup(V1), view("counts", "payments")))
    for name in ("counts", "sample.counts"):
        with pytest.raises(UnknownModel, match=r"sample\.counts is a declared view: .* reads totals") as refused:
            found.named(name)
        assert refused.value.remedy == "Name the read models that it reads."


def test_what_is_not_declared_stays_while_somebody_stands_on_it_or_declares_it(db: Database) -> None:
    old, new = declared_of((rollup(V1), replace(rollup(V1), name="gone"))), version(V1)
    ensure_builds(db, old)
    db.execute("CREATE VIEW public.mine AS SELECT payments FROM sample.gone")
    with pytest.raises(CannotPromote, match=r"public\.mine"):
        drop(db, new, undeclared(db, new))
    db.execute("DROP VIEW public.mine")
    old_worker = Me("models", (), old.all_fingerprints)
    old_worker.beat(db)
    with pytest.raises(StillDeclared, match="models"):
        drop(db, new, undeclared(db, new))
    old_worker.leave(db)
    drop(db, new, undeclared(db, new))
    assert name_only(db) == {"totals"}


def test_a_view_over_two_models_that_change_together_is_made_once_both_are_shown(
    db: Database, caplog: pytest.LogCaptureFixture
) -> None:
    def both(column: str) -> Declared:
        models = [replace(rollup({column: PAYMENTS}), name=name) for name in ("first", "second")]
        reads = f"SELECT f.owner, f.{column} + s.{column} AS n FROM sample.first f JOIN sample.second s USING (owner)"
        over = View(
            name="over", domain="sample", description="V.", columns={"owner": ("text", "O."), "n": ("bigint", "N.")},
            key=("owner",), reads=("first", "second"), sql=reads,
        )  # fmt: skip
        return declared_of((*models, over))

    before, after = both("old"), both("new")
    ensure_builds(db, before)
    chosen_ = []
    for name in ("first", "second"):
        layout = after.named(name)
        build = builds.create(db, layout, after.fingerprints["sample", name], "shadow")
        tables.create(db, layout, build)
        chosen_.append((layout, build))
    promote.switch(db, after, chosen_)
    assert db.execute("SELECT pg_get_viewdef('sample.over'::regclass) LIKE '%new%'").fetchone() == (True,)
    assert "cannot be made" not in caplog.text
