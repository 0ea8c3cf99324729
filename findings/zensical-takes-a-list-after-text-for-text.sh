#!/bin/sh
# zensical: a list right after a line of text is no list, and the strict build says nothing.
#
# In CommonMark, and so on code forges, a bullet list may begin on the line after a paragraph. Python-Markdown, which zensical
# uses, wants an empty line between them and makes one paragraph of both. A page reads well on the forge and badly in the site.
# What to do: write the empty line, or put it in while pages are staged.
# Seen on 2026-11-28 with zensical==0.0.73 markdown-it-py==4.0.0.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check zensical==0.0.73 markdown-it-py==4.0.0
cd "$folder"
mkdir docs
printf '# Title\n\nRules:\n- first\n- second\n' > docs/index.md
printf '[project]\nsite_name = "s"\n' > zensical.toml
venv/bin/zensical build --clean --strict >/dev/null 2>&1
venv/bin/python - <<'PY'
from pathlib import Path

from markdown_it import MarkdownIt

forge = MarkdownIt().render(Path("docs/index.md").read_text())
page = Path("site/index.html").read_text()
article = page[page.index("<article") : page.index("</article>")]
print("list items by CommonMark:", forge.count("<li>"))
print("list items in the site:  ", article.count("<li>"))
assert forge.count("<li>") == 2
assert article.count("<li>") == 0
assert "- first" in article
PY
