"""Turns a command into the record for the log: checked, encoded, and addressed by its stream."""

from collections.abc import Iterable
from dataclasses import dataclass

from refold.schemas.catalog import Catalog
from refold.schemas.codec import Codec
from refold.schemas.contracts import Category, Command, is_stream_id
from refold.schemas.errors import BadValue
from refold.schemas.meta import CommandMeta
from refold.schemas.validate import checked
from refold.streams.log.topics import commands_topic


@dataclass(frozen=True)
class CommandRecord:
    """A command's topic, stream and bytes."""

    topic: str
    stream: str
    value: bytes


class Addressed:
    """Finds the category, topic and stream of a command by its class."""

    def __init__(self, prefix: str, catalog: Catalog) -> None:
        self._prefix, self._codec = prefix, Codec(catalog)
        self._category = _by_class(catalog.categories.values())

    def target(self, command: Command) -> tuple[Category, str]:
        """A command's category and stream. Raises BadValue for an unknown class or an invalid stream."""
        category = self._category.get(type(command))
        if category is None:
            raise BadValue(f"{type(command).__name__} is no command of the configured domains")
        stream = category.stream_of(command)
        if not is_stream_id(stream):
            raise BadValue("Expected 1-200 of the characters A-Z a-z 0-9 . _ ~ : -", f"$.{command.stream_field}")
        return category, stream

    def record(self, meta: CommandMeta, command: Command) -> CommandRecord:
        """The record of a command. Raises BadValue for a value outside its field's type, or a record over 1 MiB."""
        value = self._codec.command(meta, checked(command))
        return CommandRecord(commands_topic(self._prefix, meta.category), meta.stream, value)


def _by_class(categories: Iterable[Category]) -> dict[type[Command], Category]:
    return {cls: category for category in categories for cls in category.commands}
