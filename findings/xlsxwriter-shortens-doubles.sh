#!/bin/sh
# xlsxwriter: a double of 17 digits is stored as another double.
#
# 0.1 + 0.2 is 0.30000000000000004. write_number() stores 16 digits of it, "0.3", which is another number; the file format itself
# would hold all 17 (and spreadsheet programs read them). What to do: write numbers that need 17 digits as text.
# Seen on 2026-11-28 with xlsxwriter==3.3.1.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check xlsxwriter==3.3.1
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import re
import zipfile

import xlsxwriter

book = xlsxwriter.Workbook("numbers.xlsx")
book.add_worksheet().write_number(0, 0, 0.1 + 0.2)
book.close()
sheet = zipfile.ZipFile("numbers.xlsx").read("xl/worksheets/sheet1.xml").decode()
stored = re.search(r"<v>([^<]*)</v>", sheet)[1]
print("written", 0.1 + 0.2, "- stored", stored, "- equal:", float(stored) == 0.1 + 0.2)
assert stored == "0.3"
PY
