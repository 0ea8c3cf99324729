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
    """A command or event class cannot be expressed as an Avro schema."""

    code = "contract-invalid"
    remedy = "Change the class or field that the message names; docs/contracts.md lists what a contract may hold."


class SchemaNotFrozen(RefoldError):
    """The code's schema differs from every frozen schema."""

    code = "schema-not-frozen"
    remedy = "Run `refold schemas freeze` and commit the new .avsc file."


class SchemaIncompatible(RefoldError):
    """A new version of a command or event breaks FULL_TRANSITIVE: one version could not read records of another."""

    code = "schema-incompatible"
    remedy = "Keep the released class unchanged and declare a new event type, with an upcaster from the old one."


class FrozenUnreadable(RefoldError):
    """A frozen file does not hold a valid released schema."""

    code = "frozen-unreadable"
    remedy = "Restore the file from version control. Never edit a frozen file."


class SchemaCollision(RefoldError):
    """Two different schemas have the same id."""

    code = "schema-collision"
    remedy = "Rename the class or a field of the newer schema."


class BadUpcaster(RefoldError):
    """An upcaster has an invalid signature, or does not lead to an event of today's code."""

    code = "upcaster-invalid"
    remedy = "Correct the upcaster's signature or the category's events; docs/contracts.md shows both."


class EventRetired(RefoldError):
    """The code tried to write an event of a retired type."""

    code = "event-retired"
    remedy = "Change the domain's `decide` to return the events that the type's upcaster returns."


class Malformed(RefoldError):
    """The body is not JSON by RFC 8259, or has the same key twice. `place` is a line and column, a byte or a path."""

    code = "malformed-json"
    remedy = "Send one JSON object in UTF-8."

    def __init__(self, message: str, place: str = "$") -> None:
        super().__init__(f"{message} (at {place})")
        self.reason = message
        self.place = place


class BadValue(RefoldError):
    """A field has a value that its type forbids; `field` is a JSON path."""

    code = "bad-value"

    def __init__(self, message: str, field: str = "$") -> None:
        super().__init__(message)
        self.field = field


class RecordTooLarge(BadValue):
    """A command or event needs a record larger than 1 MiB, envelope included."""

    code = "record-too-large"
    remedy = "Send shorter texts and lists, or split the command."


class Undecodable(RefoldError):
    """The bytes are not exactly one record of the schema they name; `reason` is a stable word for metrics."""

    code = "undecodable"

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class UpcastFailed(Undecodable):
    """The upcaster of a retired type raised on an event, or returned an invalid event."""

    code = "upcast-failed"
    remedy = "Correct the upcaster: it must read every event of the type in the log."

    def __init__(self, message: str) -> None:
        super().__init__(message, self.code)


class NewerSchema(Undecodable):
    """Newer code wrote the record: the log explains its schema, but this code cannot read it."""

    code = "newer-schema"
    remedy = "Go on with the upgrade (docs/deploys.md). Nothing is lost: the stream waits for a process of newer code."

    def __init__(self, message: str) -> None:
        super().__init__(message, self.code)
