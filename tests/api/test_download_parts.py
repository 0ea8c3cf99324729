"""Parts of a download that need no server: values as settings, names of files and of formats."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refold.api.download_errors import FormatUnknown
from refold.api.http.downloads import formats
from refold.api.http.downloads.copied import Selection, as_setting, read_from_settings
from refold.api.http.downloads.downloading import Download
from refold.api.http.downloads.formats import FORMATS
from tests.api.downloaded import NO_STATE, TEXTS, stays


@given(st.lists(st.one_of(TEXTS, st.none(), st.integers(-(2**63), 2**63 - 1), st.booleans(), st.lists(TEXTS))))
def test_no_text_of_a_value_becomes_part_of_the_statement(values: list[Any]) -> None:
    statement = "SELECT " + ", ".join("%s" for _ in values) + " WHERE 'a%%' = %s::text"
    others = [None if value is None else type(value)() for value in values]
    assert read_from_settings(statement, [*values, "x"]) == read_from_settings(statement, [*others, ""])


def test_a_list_as_a_setting_keeps_nulls_apart_from_texts() -> None:
    assert as_setting([None, "NULL", 'a"b\\', ""]) == '{NULL,"NULL","a\\"b\\\\",""}'


def test_a_statement_with_too_few_values_is_no_download() -> None:
    with pytest.raises(ValueError, match="takes 1 values, not 2"):
        read_from_settings("SELECT %s", ["a", "b"])


def test_a_file_name_is_safe_on_every_system() -> None:
    async def name() -> str:
        download = Download("", 1.0, Selection(("shop", 'a"/..\\\r\n\u00fc'), "", (), NO_STATE), FORMATS["csv"], stays)
        await download.close()
        return download.file_name()

    assert set(asyncio.run(name())) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")


def test_a_format_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(FormatUnknown, match="there are: json, ndjson, csv, arrow, parquet, xlsx"):
        formats.named("xml")
