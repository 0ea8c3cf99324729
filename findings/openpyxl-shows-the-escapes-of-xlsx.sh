#!/bin/sh
# openpyxl: the text _x0041_ of an XLSX file is read as _x005F_x0041_.
#
# The standard writes characters as _xHHHH_, so a text that looks like one has its first underscore escaped as _x005F_. xlsxwriter
# does so; spreadsheet programs take it back, and openpyxl does not where the text stands in the cell (an inline string, as files of
# constant memory have them). What to do: compare such cells after taking the escape back.
# Seen on 2026-11-28 with openpyxl==3.1.5 xlsxwriter==3.3.1.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check openpyxl==3.1.5 xlsxwriter==3.3.1
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import openpyxl
import xlsxwriter

book = xlsxwriter.Workbook("texts.xlsx", {"constant_memory": True})
book.add_worksheet().write_string(0, 0, "_x0041_")
book.close()
read = openpyxl.load_workbook("texts.xlsx").active["A1"].value
print("written _x0041_, read", read)
assert read == "_x005F_x0041_"
PY
