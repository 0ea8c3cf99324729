#!/bin/sh
# zensical: a site built with the `offline` plugin asks a public CDN for a script on every page.
#
# The plugin is there so that a site works without a server or a network. Its pages hold a script element whose source is on
# unpkg.com, so a reader with a network is seen by that host at each view, and one without waits for it.
# What to do: leave the plugin out and serve the folder by any static server; search works then, too.
# Seen on 2026-11-28 with zensical==0.0.73.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check zensical==0.0.73
cd "$folder"
mkdir docs
printf '# Title\n\nText.\n' > docs/index.md
printf '[project]\nsite_name = "s"\n[project.theme]\nfont = false\n' > zensical.toml
venv/bin/zensical build --clean >/dev/null 2>&1
without=$(grep -rhoE 'src="https://[^"]*"' site --include=index.html | wc -l)
printf '[project.plugins.offline]\n' >> zensical.toml
venv/bin/zensical build --clean >/dev/null 2>&1
echo "remote scripts without the plugin: $without"
echo "with it: $(grep -rhoE 'https://unpkg[^"]*' site --include=index.html | sort -u)"
test "$without" -eq 0
grep -rq 'https://unpkg.com/iframe-worker/shim' site --include=index.html
