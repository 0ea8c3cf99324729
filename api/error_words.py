"""Stable words that are no error class: codes of rejections, of unreadable, void and parked records, and schema rules.

`error_page` puts them into docs/errors.md. A test finds each of them in the code, and no word in the code that is
missing here.
"""

REJECTIONS = {
    "version-conflict": "The stream was at another version than the command expected.",
    "command-unreadable": "The record of the command cannot be read; the metric `refold_unreadable_commands_total` says why.",
    "stream-unreadable": "An event of the stream cannot be read or folded, so nothing can be decided on it.",
    "decide-failed": "The domain's `decide` raised.",
    "code-kills": "The domain's `decide`, or `evolve` of the stream's state, ended the process on the command, or never came to an end; it is set aside.",
    "events-refused": "The domain gave events that their types forbid, none, more than 500, or larger than a record or their topic may hold.",
}
UNREADABLE = {
    "null": "No value.",
    "no-header": "Not Confluent's wire format: fewer than 9 bytes, or the first is not 0.",
    "size": "Another length than the envelope says: cut off, or with bytes behind it.",
    "no-envelope": "The envelope cannot be read.",
    "unknown-schema": "The schema's id is none that this code or the log (`refold.schemas`) knows.",
    "malformed": "The bytes are not a record of the schema they name.",
    "trailing": "Bytes are left behind the record.",
    "bad-value": "A field has a value that its class forbids.",
    "key": "The record's key is not the stream of its envelope, or no stream id.",
    "partition": "The record lies in another partition than its key's.",
    "evolve": "The stream's events cannot be folded into a state.",
    "wrong-topic": "The schema belongs to another category's topic, or to no event.",
    "decode-kills": "Decoding it killed the process; it is set aside ([guarantees.md](guarantees.md)).",
    "code-kills": "The domain's own code ended the process on it, or never came to an end; it is set aside ([guarantees.md](guarantees.md)).",
    "newer-schema": "Newer code wrote it, and this code cannot read it ([deploys.md](deploys.md)).",
    "no-class": "Today's code has no class for the schema, and no upcaster from it.",
    "upcast-failed": "The upcaster from it raised, or gave what its type forbids.",
}
VOID = {
    "void": "By the rules of the log the record does not count ([log-rules.md](log-rules.md)).",
    "foreign": "No readable envelope, or a key that is not its stream: nobody's record.",
    "control": "An operator's voiding (`refold log void`): no event.",
}
PARKED = {
    "value-unstorable": "A text that Postgres cannot hold.",
    "event-failed": "The model's `evolve` raised, or gave what a column cannot hold.",
}
RULES = {
    "no-category": "A category was released, and code has none of that name.",
    "no-upcaster": "An event was released, and code has neither the event nor an upcaster for it.",
    "retired-changed": "A retired class that no frozen file equals.",
    "not-frozen": "No frozen file equals the code.",
    "contract-invalid": "The class cannot become a schema.",
    "no-default": "A field was added or taken away that has no default.",
    "default-changed": "A default is another than that which older records rely on.",
    "default-type": "A default is not of the field's type.",
    "type": "A field's type changed, or has no place in a contract.",
    "logical-type": "Other digits or another unit with the same bytes, or a logical type that is not read.",
    "enum-symbols": "An enum lost or gained a symbol.",
    "union": "A union other than [null, T].",
    "float": "A number that rounds.",
    "recursion": "A record within itself.",
    "zero-byte-items": "Items of a list that take no bytes: six bytes announce a billion of them.",
    "envelope": "The first field is not the log's envelope.",
    "alias": "An alias, which the reader does not follow.",
    "no-doc": "Something without a description.",
    "avro": "No Avro schema, or not compatible by Avro's own rules.",
}
GROUPS = (
    (
        "A command's rejection by the platform",
        "`code` of an outcome; every other code of an outcome is the domain's own.",
        REJECTIONS,
    ),
    (
        "A record that cannot be read",
        "`reason` in metrics and in `refold schemas log-check`; of an event that counts also the `code` for which its stream is parked.",
        UNREADABLE,
    ),
    ("A record that does not count", "`reason` in `refold.voids` and `refold status`.", VOID),
    ("A parked stream", "`code` in `refold.parked`, besides the words for a record that cannot be read.", PARKED),
    (
        "A schema that may not be released",
        "`rule` of `refold schemas check`; [contracts.md](contracts.md) says more.",
        RULES,
    ),
)


def words_page() -> str:
    """The sections of docs/errors.md after the table of classes."""
    return "".join(_section(*group) for group in GROUPS)


def _section(title: str, where: str, words: dict[str, str]) -> str:
    rows = "\n".join(f"| `{word}` | {meaning} |" for word, meaning in sorted(words.items()))
    return f"\n## {title}\n\n{where}\n\n| word | meaning |\n|---|---|\n{rows}\n"
