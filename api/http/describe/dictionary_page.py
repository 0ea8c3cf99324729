"""The data dictionary of a domain as one page of HTML without scripts, fonts or anything else from elsewhere. Pure."""

from html import escape
from typing import Any

from refold.api.http.describe.docs_page import STYLE, marked
from refold.schemas.plurals import counted

Json = dict[str, Any]
_MORE_STYLE = """
.key::after{content:" key";font-size:11px;color:#888}
.facts{color:#888}
pre{background:#8881;padding:.5rem .8rem;border-radius:6px;overflow:auto}
.scroll{overflow-x:auto}
"""
_GATHERED = {
    "count": "number of {events}",
    "key": "{value} of {events}",
    "delete": "{events}",
    "most_common": "most common {value} in {events}",
    "evolve": "{value}, folded over {events}",
}


def domains_page(domains: list[Json]) -> str:
    """The list of domains."""
    items = "".join(f'<li><a href="{escape(one["path"])}">{escape(one["name"])}</a></li>' for one in domains)
    return _page("Domains", f"<h1>Domains</h1><ul>{items}</ul>{_LINKS}")


def dictionary_page(found: Json) -> str:
    """A section for each read model, then the commands and facts of each category."""
    models = "".join(_model(found["domain"], model) for model in found["read_models"])
    commands = "".join(_category(category) for category in found["categories"])
    name = escape(found["domain"])
    contents = " · ".join(
        f'<a href="#{escape(model["name"])}">{escape(model["name"])}</a>' for model in found["read_models"]
    )
    head = f"<h1>{name}</h1>{_LINKS}<p>{contents}</p><h2>Read models</h2>"
    return _page(f"{found['domain']}: data dictionary", f"{head}{models}<h2>Commands and facts</h2>{commands}")


_LINKS = (
    '<p><a href="/v1">all domains</a> · <a href="/docs">every path</a> · <a href="/openapi.json">openapi.json</a></p>'
)


def _page(title: str, body: str) -> str:
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{STYLE}{_MORE_STYLE}</style>{body}</html>"
    )


def _model(domain: str, model: Json) -> str:
    name = escape(model["name"])
    columns = "".join(_column(column, is_key=column["name"] in model["key"]) for column in model["columns"])
    table = (
        "<div class=scroll><table><tr><th>column<th>type<th>unit<th>meaning<th>from</tr>" + columns + "</table></div>"
    )
    return (
        f'<h3 id="{name}">{escape(domain)}.{name}</h3><p>{marked(model["description"])}</p>{_facts(model)}{table}'
        f"{_origin_of_rows(model)}{_linked(model)}{_ways(model)}"
    )


def _column(column: Json, *, is_key: bool) -> str:
    name = f"<code{' class=key' if is_key else ''}>{escape(column['name'])}</code>"
    kind = escape(column["type"]) + (", may be null" if column["nullable"] else "")
    cells = [name, kind, escape(column["unit"] or ""), marked(column["description"]), _from(column["from"])]
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _from(origin: Json | None) -> str:
    if origin is None:
        return ""
    events = ", ".join(f"<code>{escape(event)}</code>" for event in origin["events"])
    value = f"<code>{escape(origin['value'])}</code>" if origin["value"] else ""
    text = _GATHERED.get(origin["gather"], f"{origin['gather']} of {{value}} in {{events}}")
    condition = f" where <code>{escape(origin['condition'])}</code>" if origin["condition"] else ""
    return text.replace("{value}", value).replace("{events}", events) + condition


def _facts(model: Json) -> str:
    facts = []
    if model["fault"]:
        facts.append(f"<strong>not served: {escape(model['fault'])}</strong>")
    if (now := model["freshness"]) is not None:
        facts.append(_behind(now["lag"]))
        if now["as_of"]:
            facts.append(f"last event at {escape(now['as_of'])}")
        if now["detached"]:
            facts.append(f"detached: {escape(now['detached'])}")
    if model["row_estimate"] is not None:
        facts.append(f"about {counted(model['row_estimate'], 'rows')}")
    return f'<p class="facts">{" · ".join(facts)}</p>' if facts else ""


def _behind(lag: int) -> str:
    return f"{counted(lag, 'records')} behind" if lag else "up to date"


def _origin_of_rows(model: Json) -> str:
    found = ""
    if model["deleted_by"]:
        found += f"<p>A row is hidden after <code>{escape(model['deleted_by'])}</code>.</p>"
    if model["query"]:
        reads = ", ".join(
            f'<a href="#{escape(path.rpartition("/")[2])}">{escape(path.rpartition("/")[2])}</a>'
            for path in model["reads"]
        )
        found += f"<p>Declared by SQL over {reads}:</p><pre>{escape(model['query'].strip())}</pre>"
    return found


def _linked(model: Json) -> str:
    """The links to rows of other models, each with a request that embeds them."""
    rows = "".join(
        f"<tr><td><code>{escape(link['name'])}</code><td>{_rows_of(link)}<td>{marked(link['description'])}"
        f'<td><a href="{escape(link["example"])}"><code>select=*,{escape(link["name"])}(*)</code></a></tr>'
        for link in model["linked"]
    )
    head = "<tr><th>link<th>rows of<th>meaning<th>embedded</tr>"
    return f"<div class=scroll><table>{head}{rows}</table></div>" if rows else ""


def _rows_of(link: Json) -> str:
    name = escape(link["to"].rpartition("/")[2])
    same = ", ".join(f"{own} = {theirs}" for own, theirs in link["columns"].items())
    return f'{link["rows"]}: <a href="#{name}">{name}</a>, by <code>{escape(same)}</code>'


def _ways(model: Json) -> str:
    links = model["links"]
    files = " ".join(f'<a href="{escape(path)}" download>{name}</a>' for name, path in links["downloads"].items())
    ways = [
        f'<a href="{escape(links["rows"])}?limit=10">the first rows</a>',
        f"one row: <code>{escape(links['row'])}</code>",
        f"all rows: {files}",
    ]
    if "changes" in links:
        ways.append(f'<a href="{escape(links["changes"])}">changes, as they come</a>')
    return f"<p>{' · '.join(ways)}</p><pre>{escape(model['sql'])}</pre>"


def _category(category: Json) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(command['name'])}</code></td><td>{marked(command['schema'].get('description', ''))}</td>"
        f"<td><code>POST {escape(command['path'])}</code></td></tr>"
        for command in (*category["commands"], *category.get("facts", ()))
    )
    return (
        f"<h3>{escape(category['name'])}</h3><p>its streams: <code>{escape(category['streams'])}</code></p>"
        f"<div class=scroll><table>{rows}</table></div>"
    )
