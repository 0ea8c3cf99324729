"""Apache's avro-c, called as kcat calls it: libserdes' request for the schema, then avro-c's parser, decoder and JSON.

kcat with Avro is three libraries: librdkafka, which `confluent_kafka` uses too; libserdes, which asks the registry for
`{url}/schemas/ids/{id}` and passes on the bytes after the header of five; and avro-c.
"""

import ctypes
import ctypes.util
from collections.abc import Callable
from functools import cache
from typing import Any

LIBRARY = ctypes.util.find_library("avro")
MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"
HEADERS = {"Accept": MEDIA_TYPE, "Content-Type": MEDIA_TYPE, "Charsets": "utf-8", "User-Agent": "libserdes"}
"""Of every request of libserdes, of a GET too."""
_HEADER_BYTES = 5
_Bytes, _Size, _Pointer = ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p
_ONE_LINE = 1


class _Value(ctypes.Structure):
    """`avro_value_t`."""

    _fields_ = (("iface", _Pointer), ("self", _Pointer))


_AVRO_VALUE = ctypes.POINTER(_Value)
_SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "avro_strerror": (_Bytes, ()),
    "avro_schema_from_json_length": (ctypes.c_int, (_Bytes, _Size, ctypes.POINTER(_Pointer))),
    "avro_generic_class_from_schema": (_Pointer, (_Pointer,)),
    "avro_generic_value_new": (ctypes.c_int, (_Pointer, _AVRO_VALUE)),
    "avro_reader_memory": (_Pointer, (_Bytes, ctypes.c_int64)),
    "avro_reader_free": (None, (_Pointer,)),
    "avro_writer_memory": (_Pointer, (_Pointer, ctypes.c_int64)),
    "avro_writer_tell": (ctypes.c_int64, (_Pointer,)),
    "avro_writer_free": (None, (_Pointer,)),
    "avro_value_read": (ctypes.c_int, (_Pointer, _AVRO_VALUE)),
    "avro_value_write": (ctypes.c_int, (_Pointer, _AVRO_VALUE)),
    "avro_value_to_json": (ctypes.c_int, (_AVRO_VALUE, ctypes.c_int, ctypes.POINTER(_Pointer))),
    "avro_value_decref": (None, (_AVRO_VALUE,)),
}


class AvroCError(Exception):
    """What avro-c says where it refuses."""


class AvroC:
    """The installed avro-c."""

    def __init__(self) -> None:
        self._lib, self._c = ctypes.CDLL(LIBRARY), ctypes.CDLL(None)
        self._c.free.argtypes, self._c.free.restype = (_Pointer,), None
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(self._lib, name)
            function.restype, function.argtypes = result, arguments
        self._classes: dict[str, int] = {}

    @property
    def cuts_at_zero(self) -> bool:
        """Whether `bytes` and `fixed` are printed up to their first zero byte only: AVRO-4136, of 1.11 and others."""
        return self.printed('{"type": "fixed", "name": "Three", "size": 3}', b"a\0b") == b'"a"'

    def printed(self, schema: str, body: bytes) -> bytes:
        """The JSON that kcat prints of a body. Raises AvroCError."""
        return self._with_value(schema, body, self._json)

    def written_again(self, schema: str, body: bytes) -> bytes:
        """What was read, as avro-c writes it: it read every byte if it is the body. Raises AvroCError."""
        return self._with_value(schema, body, lambda value: self._bytes(value, len(body)))

    def _with_value(self, schema: str, body: bytes, use: Callable[[_Value], bytes]) -> bytes:
        value, reader = _Value(), self._lib.avro_reader_memory(body, len(body))
        self._check(self._lib.avro_generic_value_new(self._class_of(schema), value))
        try:
            self._check(self._lib.avro_value_read(reader, value))
            return use(value)
        finally:
            self._lib.avro_value_decref(value)
            self._lib.avro_reader_free(reader)

    def _class_of(self, schema: str) -> int:
        """Kept for good, as libserdes keeps the schemas of a run."""
        if schema not in self._classes:
            parsed, text = _Pointer(), schema.encode()
            self._check(self._lib.avro_schema_from_json_length(text, len(text), parsed))
            self._classes[schema] = self._lib.avro_generic_class_from_schema(parsed)
        return self._classes[schema]

    def _json(self, value: _Value) -> bytes:
        text = _Pointer()
        self._check(self._lib.avro_value_to_json(value, _ONE_LINE, text))
        assert text.value is not None
        try:
            return ctypes.string_at(text.value)
        finally:
            self._c.free(text)

    def _bytes(self, value: _Value, size: int) -> bytes:
        buffer = ctypes.create_string_buffer(size)
        writer = self._lib.avro_writer_memory(buffer, size)
        try:
            self._check(self._lib.avro_value_write(writer, value))
            return buffer.raw[: self._lib.avro_writer_tell(writer)]
        finally:
            self._lib.avro_writer_free(writer)

    def _check(self, failed: int) -> None:
        if failed:
            raise AvroCError(self._lib.avro_strerror().decode())


@cache
def avro_c() -> AvroC:
    """One for all tests."""
    return AvroC()


def unframed(value: bytes) -> tuple[int, bytes]:
    """The id of the schema, signed as libserdes holds it, and the body of Confluent's wire format."""
    assert value[0] == 0
    return int.from_bytes(value[1:_HEADER_BYTES], signed=True), value[_HEADER_BYTES:]
