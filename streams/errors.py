"""The errors of the write side and below it. Every class has a stable code (docs/errors.md lists them).

RefoldError
├── BadSettings         bad-settings: refold.toml or the environment holds an invalid setting
├── NotConnected        not-connected: no Kafka or Postgres is named, and no embedded one runs
├── AddressRefused      address-refused: a configured address cannot be listened on
├── Unreachable         unreachable: a required server does not answer
│   ├── KafkaUnavailable    kafka-unavailable
│   └── DatabaseUnavailable database-unavailable
├── Refused             refused: a server answers, and waiting will not change its refusal
│   ├── KafkaRefused        kafka-refused
│   └── DatabaseRefused     database-refused
│       ├── DatabasePooled      database-pooled
│       ├── DatabaseNewer       database-newer: a newer release made its tables, and this code cannot serve them
│       └── DatabaseOlder       database-older: an older release made its tables, and they may not be migrated now
├── StatementFailed     statement-failed: Postgres fails a valid statement of ours
├── UnknownDomain       unknown-domain: a configured domain that cannot be loaded
├── DomainInvalid       domain-invalid: a configured domain has faulty modules
├── BadReactor          bad-reactor: an invalid reactor
├── NameTaken           name-taken: a domain has a name that the platform uses
├── QueueFull           queue-full: the producer is full
├── DeliveryFailed      delivery-failed: the broker did not acknowledge a record
│   └── CommandTooLarge     command-too-large: the topic takes no record of this size
├── CategoryUncoded     category-without-code: the log holds a category that no configured domain has
├── LogRefused          log-*: the log is not the one from which the tables were folded
│   ├── WrongTopic          log-wrong-settings, log-wrong-partitions, log-topic-recreated
│   ├── LogTrimmed          log-trimmed: it starts after the stored position
│   ├── LogShorter          log-shorter: it ends before the stored position, or another record lies there
│   ├── LogHole             log-hole: an offset is missing
│   ├── LogCorrupt          log-corrupt: bytes have changed
│   └── RecordKills         log-record-kills: a claim or rejection kills the process that decodes it
├── EventUnreadable     event-unreadable: an event of a stream's history, with its place (also an Undecodable)
├── StillUnreadable     still-unreadable: the cause that parked the stream still exists
├── NewerRules          newer-rules: the log was written under rules that this code does not know
└── Lost                lost: another process moved the position; read it again
"""

from collections.abc import Iterable

from refold.schemas.errors import RefoldError, Undecodable


class BadSettings(RefoldError):
    """Invalid settings; the message names every fault at once."""

    code = "bad-settings"
    remedy = "Correct refold.toml or the REFOLD_* variables; `refold config show` and docs/configuration.md list what there is."


class NotConnected(RefoldError):
    """No server is named and no embedded one runs."""

    code = "not-connected"
    remedy = "Run `refold dev` in another terminal, or set REFOLD_KAFKA and REFOLD_DATABASE_URL."


class AddressRefused(RefoldError):
    """A configured address to listen on is taken, or does not belong to this machine."""

    code = "address-refused"
    remedy = (
        "Stop what listens there, or choose another with REFOLD_API_PORT or REFOLD_PROBE_PORT (`refold config show`)."
    )


class Unreachable(RefoldError):
    """A required server does not answer."""

    code = "unreachable"
    remedy = "Check that the server runs and that the address is right (`refold config show`)."


class KafkaUnavailable(Unreachable):
    """Kafka does not answer."""

    code = "kafka-unavailable"


class DatabaseUnavailable(Unreachable):
    """Postgres does not answer, or is being restored: the sentence says which."""

    code = "database-unavailable"


class Refused(RefoldError):
    """A server answers and refuses a request of this process; waiting does not help."""

    code = "refused"
    remedy = "Correct the address, the password or the rights (`refold config show`), and start again."


class KafkaRefused(Refused):
    """Kafka refuses because of rights, names or settings."""

    code = "kafka-refused"
    remedy = "Correct the topic prefix, the topic's settings or the rights that the message names, and start again."


class DatabaseRefused(Refused):
    """Postgres refuses because of rights, or the database does not exist."""

    code = "database-refused"
    remedy = "Correct REFOLD_DATABASE_URL, or give the role what it lacks, and start again."


class DatabasePooled(DatabaseRefused):
    """A pooler before Postgres changes a client's session, so what is set, prepared or listened to is lost."""

    code = "database-pooled"
    remedy = "Let the pooler keep a session for each client (PgBouncer: pool_mode = session), or connect to Postgres itself; docs/configuration.md has its settings."


class DatabaseNewer(DatabaseRefused):
    """A newer release migrated the tables in a way that this code cannot serve."""

    code = "database-newer"
    remedy = "Start the release of Refold that migrated them, or a newer one; docs/upgrading.md says how to go back."


class DatabaseOlder(DatabaseRefused):
    """The tables are of an older release, and this process may not migrate them."""

    code = "database-older"
    remedy = (
        "Start a worker once as the owner of the tables, which migrates them; then this one works (docs/upgrading.md)."
    )


class StatementFailed(RefoldError):
    """Postgres fails Refold's own statement: a foreign trigger or constraint, a damaged table or a defect of Refold."""

    code = "statement-failed"
    remedy = "Take away what the message names; the log of Postgres has the statement. A role under the supervisor tries again by itself."


class UnknownDomain(RefoldError):
    """A configured domain that cannot be loaded."""

    code = "unknown-domain"
    remedy = "A domain is a package with the modules schemas, streams and projections; see docs/domains.md."


class DomainInvalid(RefoldError):
    """A configured domain whose modules raise on import, or do not define the required names."""

    code = "domain-invalid"
    remedy = "Correct the module at the place that the message names; docs/domains.md shows each."


class BadReactor(RefoldError):
    """An invalid reactor: by its name, the events it reads, or a name that another reactor has."""

    code = "bad-reactor"
    remedy = (
        "Correct the declaration; docs/domains.md shows one. A name stays as it is once a command was sent under it."
    )


class NameTaken(RefoldError):
    """A domain with a name that the platform, its paths or Postgres use for something else."""

    code = "name-taken"
    remedy = (
        "Name the domain otherwise, before its first record is written; its name is in every category, path and view."
    )


class QueueFull(RefoldError):
    """The producer is full; the caller waits or gives up."""

    code = "queue-full"
    remedy = "Wait for the broker to take what is queued, then send again under the same command id."


class DeliveryFailed(RefoldError):
    """The broker did not acknowledge a record; it may or may not be in the log."""

    code = "delivery-failed"
    remedy = "Send the same command again under the same id: it takes effect once."


class CommandTooLarge(DeliveryFailed):
    """The commands' topic takes no record of this size. It is not in the log, and sending it again changes nothing."""

    code = "command-too-large"
    remedy = "Send shorter texts and lists, or let the topic take larger records (max.message.bytes)."


class CategoryUncoded(RefoldError):
    """The log holds events of a category that no configured domain has, so nothing would fold them."""

    code = "category-without-code"
    remedy = "Give the category its old name back, or configure the domain that has it; a released category is never renamed."


class LogRefused(RefoldError):
    """The log is not the one from which the tables were folded."""

    code = "log-refused"


class WrongSettings(LogRefused):
    """A topic whose settings would lose events."""

    code = "log-wrong-settings"
    remedy = "Set cleanup.policy=delete, retention.ms=-1 and retention.bytes=-1 on the topic, and start again."


class WrongPartitions(LogRefused):
    """A topic has another number of partitions than at its creation, so keys would move."""

    code = "log-wrong-partitions"
    remedy = "A category keeps its number of partitions for ever: set REFOLD_PARTITIONS to it, or copy the log into a new topic prefix."


class TopicRecreated(LogRefused):
    """A topic from which the tables were folded is gone, or another topic has its name."""

    code = "log-topic-recreated"
    remedy = "Bring the old topic back from its backup, or drop the database and fold the new log with `refold replay rebuild --all --execute`."


class LogTrimmed(LogRefused):
    """The log starts after the stored position: events that were never folded are gone."""

    code = "log-trimmed"
    remedy = "Restore the topic from its backup; check its retention."


class LogShorter(LogRefused):
    """The log ends before the stored position, or has another record there: it lost events that the tables have."""

    code = "log-shorter"
    remedy = "Restore the topic from its backup, or drop the database and fold what is left."


class LogHole(LogRefused):
    """An offset is missing between two records."""

    code = "log-hole"
    remedy = "Only Refold may write to its topics, without Kafka transactions; restore the topic from its backup."


class LogCorrupt(LogRefused):
    """Bytes of the log have changed: a checksum does not match, or records cannot be told apart."""

    code = "log-corrupt"
    remedy = "Restore the partition from a sound replica or from its backup."


class RecordKills(LogRefused):
    """Decoding a claim or rejection kills the process. Without it nobody can tell which records count."""

    code = "log-record-kills"
    remedy = "Upgrade Refold or its libraries; the message names the record's place."


class EventUnreadable(Undecodable):
    """An event of a stream's history is unreadable; the message names its topic, partition and offset."""

    code = "event-unreadable"
    remedy = "Install code that can read the event; `refold schemas log-check` names every such event of the log."

    def __init__(self, place: tuple[str, int], offset: int, reason: str, why: str) -> None:
        self.place, self.offset = place, offset
        super().__init__(f"{place[0]}/{place[1]}@{offset}: {why}", reason)


class StillUnreadable(RefoldError):
    """The cause that parked the stream still exists; the stream goes on waiting."""

    code = "still-unreadable"
    remedy = "Install code that can read the event (`refold schemas log-check` says why it cannot), and release the stream then."


class NewerRules(RefoldError):
    """A claim names rules that this code does not know; only its partition stops."""

    code = "newer-rules"
    remedy = "Upgrade this process: a newer version of Refold writes to the log. Where none does, the claim is forged: `refold log void` takes it out."


class Lost(RefoldError):
    """Another process moved the position of some places; drop the records read and read the position again."""

    code = "lost"

    def __init__(self, places: Iterable[tuple[str, int]]) -> None:
        self.places = tuple(places)
        super().__init__(f"the stored position is not where the chunk starts: {self.places}")
