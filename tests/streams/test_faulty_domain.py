"""Tests that a domain that cannot be loaded gives one sentence with the place, a final exit code, and no traceback."""

from pathlib import Path

import pytest

from refold.api.cli import app as cli
from refold.api.cli import exits
from refold.api.cli.supervisor import FINAL

SCHEMAS = """
from refold.schemas.contracts import Category, Event
class Came(Event):
    '''Somebody came.'''
DOOR = Category("{name}.door", (), (Came,))
CATEGORIES = (DOOR,)
"""
SOUND = {"schemas": "CATEGORIES = ()", "streams": "DECIDERS = ()", "projections": "READ_MODELS = ()"}
FAULTS = {
    "syntax": (
        {"streams": "\nDECIDERS = (\n"},
        "domain-invalid",
        "SyntaxError: '(' was never closed",
        "streams.py, line 2",
    ),
    "raises": ({"schemas": "\n\n1 / 0"}, "domain-invalid", "ZeroDivisionError: division by zero", "schemas.py, line 3"),
    "no_text": (
        {"projections": "from refold.projections.declaring.declaration import Events\n\nEvents(()).count()"},
        "domain-invalid",
        "missing 1 required positional argument: 'doc'",
        "projections.py, line 3",
    ),
    "no_tuple": ({"streams": "DECIDER = ()"}, "domain-invalid", "no_tuple.streams has no tuple DECIDERS", "streams.py"),
    "no_models": (
        {"projections": ""},
        "domain-invalid",
        "no_models.projections has no tuple READ_MODELS",
        "projections.py",
    ),
    "strange": (
        {"projections": "READ_MODELS = ('sales',)"},
        "bad-declaration",
        "READ_MODELS holds 'sales'",
        "no Rollup",
    ),
    "no_condition": (
        {"projections": "from refold.projections.declaring.declaration import Events\n\nEvents(()).where(True)"},
        "bad-declaration",
        "where() takes a condition such as field('x').eq(1), not True",
        "projections.py, line 3",
    ),
    "other_domain": (
        {
            "projections": "from refold.projections import View\nREAD_MODELS = (View(name='v', domain='other', description='D.',"
            " columns={'n': ('bigint', 'N.')}, key=('n',), reads=('w',), sql='SELECT 1 AS n'),)"
        },
        "bad-declaration",
        "v is declared in other_domain, and says that it is of the domain other: write domain='other_domain'",
        "",
    ),
    "no_category": ({"schemas": "CATEGORIES = (5,)"}, "domain-invalid", "CATEGORIES holds 5, which is no Category", ""),
    "no_decider": ({"streams": "DECIDERS = (len,)"}, "domain-invalid", "holds <built-in function len>, which is", ""),
    "twice": (
        {"schemas": SCHEMAS + "CATEGORIES = (DOOR, DOOR)"},
        "domain-invalid",
        "category twice.door is declared 2 times",
        "",
    ),
    "unfrozen": ({"schemas": SCHEMAS}, "schema-not-frozen", "unfrozen.door.Came has no frozen schema", ""),
    "a_file": ({}, "domain-invalid", "a_file.schemas is a file, and frozen schemas need a folder", "schemas.py"),
    "broken_file": ({"frozen/broken_file.door.Came.v1": "{"}, "frozen-unreadable", "broken_file.door.Came.v1.avsc", ""),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_faulty_domain_is_one_sentence(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files, code, said, place = FAULTS[name]
    for part, text in {**SOUND, **files}.items():
        path = tmp_path / name / (f"{part}.avsc" if part.startswith("frozen/") else f"{part}.py")
        if part == "schemas" and name not in ("raises", "a_file"):
            path = tmp_path / name / "schemas" / "__init__.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("{name}", name))
    if name == "broken_file":
        (tmp_path / name / "frozen").rename(tmp_path / name / "schemas" / "frozen")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("REFOLD_DOMAINS", name)
    monkeypatch.setenv("REFOLD_KAFKA", "127.0.0.1:9")
    monkeypatch.setenv("REFOLD_DATABASE_URL", "postgresql://u@127.0.0.1:9/d")
    monkeypatch.chdir(tmp_path)
    found = cli.run(["replay", "rebuild", "--all"])
    words = " ".join(capsys.readouterr().err.split())
    assert words.startswith(f"refold: {code}: ")
    assert said in words
    assert place in words
    assert found in FINAL
    assert found in (exits.USAGE, exits.PRECONDITION, exits.DIFFERENT)
