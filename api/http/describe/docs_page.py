"""The OpenAPI document as one page of HTML without scripts, fonts or anything else from elsewhere. Pure."""

from html import escape
from typing import Any

Json = dict[str, Any]

STYLE = """
:root{color-scheme:light dark}
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}
code{font:13px ui-monospace,monospace}
details{border:1px solid #8884;border-radius:6px;margin:.5rem 0;padding:.4rem .8rem;overflow-x:auto}
summary{cursor:pointer;overflow-wrap:anywhere}
table{border-collapse:collapse;margin:.5rem 0;width:100%}
td,th{border-bottom:1px solid #8883;padding:.25rem .5rem;text-align:left;vertical-align:top}
.verb{display:inline-block;width:3.5rem;font-weight:600}
h2{margin-top:2rem}
"""


def docs_page(document: Json) -> str:
    """The page: each path is a section that opens, with its parameters, body and answers as tables."""
    schemas = document["components"]["schemas"]
    by_tag: dict[str, list[str]] = {}
    for path, verbs in document["paths"].items():
        for verb, operation in verbs.items():
            by_tag.setdefault(operation["tags"][0], []).append(_section(verb, path, operation, schemas))
    parts = [f"<h2>{escape(tag)}</h2>{''.join(sections)}" for tag, sections in sorted(by_tag.items())]
    info = document["info"]
    links = '<a href="/openapi.json">openapi.json</a> · <a href="/asyncapi.json">asyncapi.json</a> · <a href="/v1">/v1</a> · <a href="/readyz">readyz</a> · <a href="/metrics">metrics</a>'
    head = (
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{marked(info['description'])}</p><p>{links}</p>"
    )
    return f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Refold API</title><style>{STYLE}</style>{head}{"".join(parts)}</html>'


def _section(verb: str, path: str, operation: Json, schemas: Json) -> str:
    summary = f'<summary><span class="verb">{verb.upper()}</span><code>{escape(path)}</code> {marked(operation["summary"])}</summary>'
    body = operation.get("requestBody")
    parts = [_parameters(operation["parameters"], schemas)]
    if body:
        parts.append("<h4>Body</h4>" + _fields(_shown(body)["schema"], schemas))
    for status, answer in operation["responses"].items():
        shown = _shown(answer)
        fields = _fields(shown["schema"], schemas) if shown else ""
        parts.append(f"<h4>{status}</h4><p>{marked(answer['description'])}</p>{fields}")
    return f"<details>{summary}{''.join(parts)}</details>"


def _shown(part: Json) -> Json:
    """The content of a body or answer; empty for problems, which are all alike."""
    found: Json = next((content for kind, content in part.get("content", {}).items() if "problem" not in kind), {})
    return found


def _parameters(parameters: list[Json], schemas: Json) -> str:
    rows = [
        [
            f"<code>{escape(p['name'])}</code>",
            p["in"] + (", required" if p["required"] else ""),
            _kind(_resolved(p["schema"], schemas)),
            marked(p["description"]),
        ]
        for p in parameters
    ]
    return "<h4>Parameters</h4>" + _table(rows)


def _fields(schema: Json, schemas: Json, shown: set[str] | None = None) -> str:
    """The members of a schema. One that has a name is shown once in a table: rows of linked read models lead back to each other."""
    shown = set() if shown is None else shown
    shown.add(_named(schema))
    schema = _resolved(schema, schemas)
    required = set(schema.get("required", ()))
    rows = []
    for name, field in schema.get("properties", {}).items():
        inner = _resolved(field, schemas)
        item = inner.get("items", field)
        new = not _named(item) or _named(item) not in shown
        below = _fields(item, schemas, shown) if new and "properties" in _resolved(item, schemas) else ""
        need = "required" if name in required else ""
        rows.append([f"<code>{escape(name)}</code>", need, _kind(inner), marked(field.get("description", "")) + below])
    return _table(rows)


def _named(schema: Json) -> str:
    """The name of the schema that this one refers to, or nothing."""
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _resolved(schema: Json, schemas: Json) -> Json:
    found: Json = schemas[_named(schema)] if "$ref" in schema else schema
    return found


def _kind(schema: Json) -> str:
    if "anyOf" in schema:
        return " or ".join(_kind(part) for part in schema["anyOf"])
    kind = _named(schema) or schema.get("type", "any")
    if "$ref" in schema.get("items", {}):
        kind = f"array of {_named(schema['items'])}"
    text = " or ".join(kind) if isinstance(kind, list) else str(kind)
    limits = [
        f"{sign} {schema[name]}"
        for name, sign in (("minimum", "≥"), ("maximum", "≤"), ("maxLength", "length ≤"))
        if name in schema
    ]
    if "enum" in schema:
        limits.append("one of " + " ".join(map(str, schema["enum"])))
    form = f" ({schema['format']})" if "format" in schema else ""
    return escape(", ".join([text + form, *limits]))


def marked(text: str) -> str:
    """Text as HTML, with backticks turned into code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if place % 2 else part for place, part in enumerate(parts))


def _table(rows: list[list[str]]) -> str:
    cells = ("".join(f"<td>{cell}</td>" for cell in row) for row in rows)
    return f"<table>{''.join(f'<tr>{row}</tr>' for row in cells)}</table>"
