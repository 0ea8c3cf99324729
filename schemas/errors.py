"""The errors of contracts, as classes with a stable code. Every error of Refold is a `RefoldError`.

RefoldError
├── ContractError        contract-invalid: a class that cannot become an Avro schema
├── SchemaNotFrozen      schema-not-frozen: the code's schema has no frozen file
├── SchemaIncompatible   schema-incompatible: a new version cannot read older ones, or they cannot read it
├── FrozenUnreadable     frozen-unreadable: a frozen file that holds no released schema
├── SchemaCollision      schema-collision: two schemas with one id
├── BadUpcaster          upcaster-invalid: an upcaster that leads to no event of today
├── EventRetired         event-retired: an event type that is read and no longer written
├── Malformed            malformed-json: a body that is not strict JSON
├── BadValue             bad-value: a field that its type forbids
│   └── RecordTooLarge       record-too-large: more than a record may hold
└── Undecodable          undecodable: bytes that are not a record of their schema
    ├── UpcastFailed        upcast-failed: a retired event that its upcaster cannot read as events of today
    └── NewerSchema         newer-schema: a record of newer code, of which this code has no such type
"""


class RefoldError(Exception):
    """An error with a stable code, a sentence that says what happened, and a remedy."""

    code = "refold-error"
    remedy = ""

    def __init__(self, message: str, remedy: str | None = None) -> None:
        """Keep the message; a remedy given here replaces the class's own."""
        super().__init__(message)
        self.message = message
        if remedy is not None:
            self.remedy = remedy


class ContractError(RefoldError):
    """A command or event class that cannot become an Avro schema."""

    code = "contract-invalid"
    remedy = "Change the class or field that the message names; docs/contracts.md lists what a contract may hold."


class SchemaNotFrozen(RefoldError):
    """The code's schema differs from every frozen one."""

    code = "schema-not-frozen"
    remedy = "Run `refold schemas freeze` and commit the new .avsc file."


class SchemaIncompatible(RefoldError):
    """A new version of a command or event is not FULL_TRANSITIVE: some version could not read another's records."""

    code = "schema-incompatible"
    remedy = "Leave the released class as it is and declare a new event type, with an upcaster from the old one."


class FrozenUnreadable(RefoldError):
    """A frozen file that holds no released schema."""

    code = "frozen-unreadable"
    remedy = "Restore the file from version control; frozen files are never edited."


class SchemaCollision(RefoldError):
    """Two different schemas have the same id."""

    code = "schema-collision"
    remedy = "Rename the class or a field of the newer schema."


class BadUpcaster(RefoldError):
    """An upcaster with an invalid signature, or one that leads to no event of today."""

    code = "upcaster-invalid"
    remedy = "Correct the upcaster's signature or the category's events; docs/contracts.md shows both."


class EventRetired(RefoldError):
    """An event of a retired type was about to be written."""

    code = "event-retired"
    remedy = "Let the domain's `decide` give the events that the type's upcaster gives."


class Malformed(RefoldError):
    """A body that is not JSON by RFC 8259, or repeats a key. `place`: a line and column, byte or path."""

    code = "malformed-json"
    remedy = "Send one JSON object in UTF-8."

    def __init__(self, message: str, place: str = "$") -> None:
        super().__init__(f"{message} (at {place})")
        self.reason = message
        self.place = place


class BadValue(RefoldError):
    """A field whose value its type forbids; `field` is a JSON path."""

    code = "bad-value"

    def __init__(self, message: str, field: str = "$") -> None:
        super().__init__(message)
        self.field = field


class RecordTooLarge(BadValue):
    """A command or event whose record would be larger than 1 MiB, envelope included."""

    code = "record-too-large"
    remedy = "Send shorter texts and lists, or split the command."


class Undecodable(RefoldError):
    """Bytes that are not exactly one record of the schema they name; `reason` is a stable word for metrics."""

    code = "undecodable"

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class UpcastFailed(Undecodable):
    """An event of a retired type on which its upcaster raised, or returned an invalid event."""

    code = "upcast-failed"
    remedy = "Correct the upcaster: every event of the type that the log has must be readable."

    def __init__(self, message: str) -> None:
        super().__init__(message, self.code)


class NewerSchema(Undecodable):
    """A sound record of newer code: the log explains its schema, but this code cannot read it."""

    code = "newer-schema"
    remedy = "Nothing is lost: what needs the record waits for a process of newer code. Go on with the upgrade (docs/deploys.md)."

    def __init__(self, message: str) -> None:
        super().__init__(message, self.code)
