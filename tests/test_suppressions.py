"""Whoever switches a check off says why, on that line: in code after the code of the rule, in pyproject.toml as a comment."""

import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = (
    "schemas",
    "streams",
    "projections",
    "testing",
    "api",
    "retail",
    "examples",
    "docs",
    "tests",
    "benchmarks",
    "typings",
)
SOURCES = sorted(
    path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py*") if path.suffix in {".py", ".pyi"}
)
SUPPRESSION = re.compile(r"#\s*(noqa|type:\s*ignore|pragma|pyright:\s*ignore|mypy:|ruff:|isort:|nosec|pylint:)")
REASONED = re.compile(
    r"# (?:ruff: )?noqa: [A-Z]+\d+(?:, [A-Z]+\d+)* - \S.*"
    r"|# type: ignore\[[a-z-]+(?:, ?[a-z-]+)*\] +# \S.*"
    r"|# (?:pragma|mypy|isort|pylint|pyright): [^#]+# \S.*"
)
LISTED = re.compile(r'^\s+"[^"]+",?\s*(?P<reason>#.*)?$|^"[^"]+" = \[.*\]\s*(?P<beside>#.*)?$')
LISTS = ("ignore = [", '"tests/**" = [', "filterwarnings = [", "ignore_imports = [")


def bare(source: str) -> list[str]:
    """Comments that switch a check off without a reason."""
    comments = [
        each for each in tokenize.generate_tokens(io.StringIO(source).readline) if each.type == tokenize.COMMENT
    ]
    return [
        f"line {each.start[0]}: {each.string}"
        for each in comments
        if SUPPRESSION.match(each.string) and not REASONED.fullmatch(each.string.removesuffix("  # fmt: skip"))
    ]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_suppression_in_code_has_its_reason(source: Path) -> None:
    assert bare(source.read_text()) == []


def test_each_rule_that_is_off_has_its_reason() -> None:
    lines, unexplained, inside, explained = (ROOT / "pyproject.toml").read_text().splitlines(), [], False, False
    for before, line in zip(["", *lines], lines, strict=False):
        if inside and line.strip() == "]":
            inside = False
        elif inside and '"error"' not in line and not explained and "#" not in line:
            unexplained.append(line)
        if any(line.startswith(begin) for begin in LISTS) and not line.rstrip().endswith("]"):
            inside, explained = True, before.startswith("#")
        if re.match(r'"[^"]+/\*\*" = \[.*\]$', line):
            unexplained.append(line)
    assert unexplained == []


def test_each_part_of_the_type_checker_that_is_off_has_its_reason() -> None:
    blocks = (ROOT / "pyproject.toml").read_text().split("[[tool.mypy.overrides]]\n")[1:]
    assert blocks
    assert [block for block in blocks if not block.startswith("# ")] == []


@pytest.mark.parametrize(
    "line",
    [
        "x = 1  # noqa",
        "x = 1  # noqa: E731",
        "x = 1  # noqa: E731 why",
        "x = 1  # type: ignore",
        "x = 1  # type: ignore[misc]",
        "x = 1  # pragma: no cover",
        "# ruff: noqa",
    ],
)
def test_the_check_itself_sees_a_bare_one(line: str) -> None:
    assert bare(line)


@pytest.mark.parametrize(
    "line",
    [
        "x = 1  # noqa: E731, D100 - because",
        "x = 1  # type: ignore[misc]  # because",
        "x = 1  # pragma: no cover  # because",
        "x = '# noqa'",
    ],
)
def test_a_reason_is_enough(line: str) -> None:
    assert not bare(line)
