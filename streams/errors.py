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
    """Settings are invalid; the message names all faults."""

    code = "bad-settings"
    remedy = "Correct refold.toml or the REFOLD_* variables; `refold config show` and docs/configuration.md list the settings."


class NotConnected(RefoldError):
    """No server is named and no embedded one runs."""

    code = "not-connected"
    remedy = "Run `refold dev` in another terminal, or set REFOLD_KAFKA and REFOLD_DATABASE_URL."


class AddressRefused(RefoldError):
    """The process cannot listen on a configured address: it is in use, or it does not belong to this machine."""

    code = "address-refused"
    remedy = "Stop the process that listens there, or choose another port with REFOLD_API_PORT or REFOLD_PROBE_PORT (`refold config show`)."


class Unreachable(RefoldError):
    """A required server does not answer."""

    code = "unreachable"
    remedy = "Check that the server runs and that the address is right (`refold config show`)."


class KafkaUnavailable(Unreachable):
    """Kafka does not answer."""

    code = "kafka-unavailable"


class DatabaseUnavailable(Unreachable):
    """Postgres does not answer, or is being restored: the message says which."""

    code = "database-unavailable"


class Refused(RefoldError):
    """A server answers and refuses a request of this process; waiting does not help."""

    code = "refused"
    remedy = "Correct the address, the password or the rights (`refold config show`), and start again."


class KafkaRefused(Refused):
    """Kafka refuses a request: the rights, a topic's name or a setting are wrong."""

    code = "kafka-refused"
    remedy = "Correct the topic prefix, the topic's settings or the rights that the message names, and start again."


class DatabaseRefused(Refused):
    """Postgres refuses this role, or the database does not exist."""

    code = "database-refused"
    remedy = "Correct REFOLD_DATABASE_URL, or grant the role the missing right, and start again."


class DatabasePooled(DatabaseRefused):
    """A pooler in front of Postgres gives a client changing sessions, so its settings, prepared statements and LISTEN are lost."""

    code = "database-pooled"
    remedy = "Configure the pooler to keep one session for each client (PgBouncer: pool_mode = session), or connect to Postgres directly; docs/configuration.md has the settings."


class DatabaseNewer(DatabaseRefused):
    """A newer release migrated the tables, and this code cannot work on them."""

    code = "database-newer"
    remedy = "Start the release of Refold that migrated them, or a newer one; docs/upgrading.md explains the way back."


class DatabaseOlder(DatabaseRefused):
    """An older release made the tables, and this process may not migrate them."""

    code = "database-older"
    remedy = "Start a worker once as the owner of the tables: it migrates them. Then start this process again (docs/upgrading.md)."


class StatementFailed(RefoldError):
    """A statement of Refold failed in Postgres: because of a foreign trigger or constraint, a damaged table or a defect of Refold."""

    code = "statement-failed"
    remedy = "Remove the cause that the message names; the log of Postgres has the statement. A role under the supervisor tries again by itself."


class UnknownDomain(RefoldError):
    """A configured domain cannot be loaded."""

    code = "unknown-domain"
    remedy = (
        "Name a package with the modules schemas, streams and projections in the setting; docs/domains.md shows one."
    )


class DomainInvalid(RefoldError):
    """A configured domain has a module that fails on import, or lacks a required name."""

    code = "domain-invalid"
    remedy = "Correct the module at the place that the message names; docs/domains.md shows each module."


class BadReactor(RefoldError):
    """A reactor's declaration is invalid: its name, the events it reads, or a name that another reactor has."""

    code = "bad-reactor"
    remedy = "Correct the declaration; docs/domains.md shows one. Keep the name of a reactor that has sent a command."


class NameTaken(RefoldError):
    """A domain's name is taken: the platform, its paths or Postgres use it for something else."""

    code = "name-taken"
    remedy = "Rename the domain before it writes its first record; its name is in every category, path and view."


class QueueFull(RefoldError):
    """The producer's queue is full."""

    code = "queue-full"
    remedy = "Wait until the broker has taken the queued records, then send the command again under the same id."


class DeliveryFailed(RefoldError):
    """The broker did not acknowledge a record; the record may or may not be in the log."""

    code = "delivery-failed"
    remedy = "Send the same command again under the same id: it takes effect only once."


class CommandTooLarge(DeliveryFailed):
    """The commands' topic refuses a record of this size. The command is not in the log, and will not get there if sent again."""

    code = "command-too-large"
    remedy = "Send shorter texts and lists, or allow larger records on the topic (max.message.bytes)."


class CategoryUncoded(RefoldError):
    """The log holds events of a category that no configured domain has, so no worker would fold them."""

    code = "category-without-code"
    remedy = (
        "Give the category its old name again, or configure the domain that has it. A released category keeps its name."
    )


class LogRefused(RefoldError):
    """The log does not match the tables that were folded from it."""

    code = "log-refused"


class WrongSettings(LogRefused):
    """A topic has settings under which it would lose events."""

    code = "log-wrong-settings"
    remedy = "Set cleanup.policy=delete, retention.ms=-1 and retention.bytes=-1 on the topic, and start again."


class WrongPartitions(LogRefused):
    """A topic's number of partitions has changed since its creation, so keys would move to other partitions."""

    code = "log-wrong-partitions"
    remedy = "A category always keeps its number of partitions: set REFOLD_PARTITIONS to it, or copy the log to a new topic prefix."


class TopicRecreated(LogRefused):
    """A topic from which the tables were folded is gone, or a new topic has its name."""

    code = "log-topic-recreated"
    remedy = "Restore the old topic from its backup, or drop the database and fold the new log with `refold replay rebuild --all --execute`."


class LogTrimmed(LogRefused):
    """The log starts after the stored position: events that were never folded are gone."""

    code = "log-trimmed"
    remedy = "Restore the topic from its backup; check its retention."


class LogShorter(LogRefused):
    """The log ends before the stored position, or has another record there: it has lost events that the tables show."""

    code = "log-shorter"
    remedy = "Restore the topic from its backup, or drop the database and fold the rest of the log."


class LogHole(LogRefused):
    """An offset is missing between two records."""

    code = "log-hole"
    remedy = "Only Refold may write to its topics, without Kafka transactions; restore the topic from its backup."


class LogCorrupt(LogRefused):
    """Bytes of the log have changed: a checksum does not match, or a record's borders are damaged."""

    code = "log-corrupt"
    remedy = "Restore the partition from a sound replica or from its backup."


class RecordKills(LogRefused):
    """Decoding a claim or rejection kills the process. Refold cannot skip it, since it decides whether other records count."""

    code = "log-record-kills"
    remedy = "Upgrade Refold or its libraries; the message names the record's place."


class EventUnreadable(Undecodable):
    """An event in a stream's history cannot be read; the message names its topic, partition and offset."""

    code = "event-unreadable"
    remedy = "Install code that can read the event; `refold schemas log-check` names every such event of the log."

    def __init__(self, place: tuple[str, int], offset: int, reason: str, why: str) -> None:
        self.place, self.offset = place, offset
        super().__init__(f"{place[0]}/{place[1]}@{offset}: {why}", reason)


class StillUnreadable(RefoldError):
    """The cause that parked the stream still exists. The stream stays parked."""

    code = "still-unreadable"
    remedy = (
        "Install code that can read the event (`refold schemas log-check` names the reason), then release the stream."
    )


class NewerRules(RefoldError):
    """A claim names rules of the log that this code does not know. Only its partition stops."""

    code = "newer-rules"
    remedy = "Upgrade this process: a newer version of Refold writes to the log. If none does, the claim is forged: take it out with `refold log void`."


class Lost(RefoldError):
    """Another process has moved the stored position of a partition; drop the records and read the position again."""

    code = "lost"

    def __init__(self, places: Iterable[tuple[str, int]]) -> None:
        self.places = tuple(places)
        super().__init__(f"the stored position is not where the chunk starts: {self.places}")
