"""Stable words without an error class: codes of rejections, of unreadable, void and parked records, and schema rules.

`error_page` puts them into docs/errors.md. A test compares them with the words in the code, in both directions.
"""

REJECTIONS = {
    "version-conflict": "The stream was at another version than the command expected.",
    "command-unreadable": "The command's record cannot be read; the metric `refold_unreadable_commands_total` counts the reasons.",
    "stream-unreadable": "An event of the stream cannot be read or folded, so no command can be decided on the stream.",
    "decide-failed": "The domain's `decide` raised an exception.",
    "code-kills": "The domain's `decide` or `evolve` ended the process on the command, or did not end; the command is set aside.",
    "events-refused": "The domain returned no events, more than 500, events that their types forbid, or events too large for a record or their topic.",
}
UNREADABLE = {
    "null": "The record has no value.",
    "no-header": "The bytes are not in Confluent's wire format: there are fewer than 9, or the first is not 0.",
    "size": "The record's length is not the one in its envelope: it is cut off, or has extra bytes at its end.",
    "no-envelope": "The envelope cannot be read.",
    "unknown-schema": "Neither this code nor the log (`refold.schemas`) knows the schema's id.",
    "malformed": "The bytes are not a record of the schema they name.",
    "trailing": "Extra bytes follow the record.",
    "bad-value": "A field has a value that its class forbids.",
    "key": "The record's key is not a stream id, or not the stream in its envelope.",
    "partition": "The record is not in the partition of its key.",
    "evolve": "The stream's events cannot be folded into a state.",
    "wrong-topic": "The schema belongs to another category's topic, or is not an event's.",
    "decode-kills": "Decoding the record killed the process; the record is set aside ([guarantees.md](guarantees.md)).",
    "code-kills": "The domain's own code ended the process on the record, or did not end; the record is set aside ([guarantees.md](guarantees.md)).",
    "newer-schema": "Newer code wrote the record, and this code cannot read it ([deploys.md](deploys.md)).",
    "no-class": "This code has neither a class for the schema nor an upcaster from it.",
    "upcast-failed": "The schema's upcaster raised an exception, or returned an event that its type forbids.",
}
VOID = {
    "void": "The record does not count by the rules of the log ([log-rules.md](log-rules.md)).",
    "foreign": "Refold did not write the record: its envelope is unreadable, or its key is not its stream.",
    "control": "The record is an operator's voiding (`refold log void`), not an event.",
}
PARKED = {
    "value-unstorable": "Postgres cannot hold a text of the event.",
    "event-failed": "The model's `evolve` raised an exception, or returned a value that a column cannot hold.",
}
RULES = {
    "no-category": "The code lacks a released category.",
    "no-upcaster": "The code has neither a released event nor an upcaster for it.",
    "retired-changed": "A retired class equals none of its frozen files.",
    "not-frozen": "The class equals none of its frozen files.",
    "contract-invalid": "The class cannot become a schema.",
    "no-default": "A field without a default was added or removed.",
    "default-changed": "A default changed on which older records rely.",
    "default-type": "A default is not of the field's type.",
    "type": "A field's type changed, or is not allowed in a contract.",
    "logical-type": "A logical type changed its digits or its unit, or is one that Refold does not read.",
    "enum-symbols": "An enum lost or gained a symbol.",
    "union": "A union is not [null, T].",
    "float": "A field is a floating-point number, which rounds.",
    "recursion": "A record contains itself.",
    "zero-byte-items": "A list has items of zero bytes, so six bytes could announce a billion of them.",
    "envelope": "The first field is not the log's envelope.",
    "alias": "A schema has an alias; Refold's reader does not use aliases.",
    "no-doc": "A class or field has no description.",
    "avro": "The schema is not valid Avro, or not compatible by Avro's own rules.",
}
GROUPS = (
    (
        "A command's rejection by the platform",
        "These are values of an outcome's `code`; every other code comes from the domain.",
        REJECTIONS,
    ),
    (
        "A record that cannot be read",
        "These are values of `reason` in metrics and in `refold schemas log-check`, and of a parked stream's `code`.",
        UNREADABLE,
    ),
    ("A record that does not count", "These are values of `reason` in `refold.voids` and `refold status`.", VOID),
    (
        "A parked stream",
        "These are values of `code` in `refold.parked`, besides the words for a record that cannot be read.",
        PARKED,
    ),
    (
        "A schema that may not be released",
        "These are values of `rule` in `refold schemas check`; [contracts.md](contracts.md) explains them.",
        RULES,
    ),
)


def words_page() -> str:
    """The sections of docs/errors.md after the table of classes."""
    return "".join(_section(*group) for group in GROUPS)


def _section(title: str, where: str, words: dict[str, str]) -> str:
    rows = "\n".join(f"| `{word}` | {meaning} |" for word, meaning in sorted(words.items()))
    return f"\n## {title}\n\n{where}\n\n| word | meaning |\n|---|---|\n{rows}\n"
