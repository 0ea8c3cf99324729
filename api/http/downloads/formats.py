"""The formats of a download, and how a request names one: `?format=` or `Accept`."""

from dataclasses import dataclass
from importlib.util import find_spec

from refold.api.download_errors import FormatMissing, FormatUnknown
from refold.api.errors import Fault
from refold.api.http.wire.parameters import shown


@dataclass(frozen=True)
class Format:
    """A format under the name that `?format=` takes.

    `needs`: the packages that write it and that a plain installation lacks.
    """

    name: str
    media_type: str
    needs: tuple[str, ...] = ()

    @property
    def content_type(self) -> str:
        return f"{self.media_type}; charset=utf-8" if self.media_type in _TEXTS else self.media_type

    def check_installed(self) -> None:
        """Raises FormatMissing."""
        missing = [package for package in self.needs if find_spec(package) is None]
        if missing:
            raise FormatMissing(f"this installation cannot write {self.name}: it lacks {' and '.join(missing)}")


_TEXTS = ("text/csv", "application/json", "application/x-ndjson")
FORMATS = {
    one.name: one
    for one in (
        Format("json", "application/json"),
        Format("ndjson", "application/x-ndjson"),
        Format("csv", "text/csv"),
        Format("arrow", "application/vnd.apache.arrow.stream", ("pyarrow",)),
        Format("parquet", "application/vnd.apache.parquet", ("pyarrow",)),
        Format("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", ("pyarrow", "xlsxwriter")),
    )
}
BINARY = frozenset(one.media_type for one in FORMATS.values() if one.media_type not in _TEXTS)
_BY_MEDIA_TYPE = {one.media_type: one for one in FORMATS.values()} | {
    "application/ndjson": FORMATS["ndjson"],
    "application/jsonl": FORMATS["ndjson"],
}


def named(name: str) -> Format:
    """The format of `?format=`. Raises FormatUnknown, FormatMissing."""
    found = FORMATS.get(name)
    if found is None:
        message = f"there is no format {shown(name)}; there are: {', '.join(FORMATS)}"
        raise FormatUnknown(message, Fault("format", "format-unknown", message))
    found.check_installed()
    return found


def of_media_type(media_type: str) -> Format | None:
    """The format of a media type without parameters; None for JSON, which a page of rows is. Raises FormatMissing."""
    found = _BY_MEDIA_TYPE.get(media_type)
    if found is None or found.name == "json":
        return None
    found.check_installed()
    return found


def files() -> tuple[str, ...]:
    """The media types that only a download has."""
    return tuple(name for name in _BY_MEDIA_TYPE if name not in {"application/json", "text/csv"})
