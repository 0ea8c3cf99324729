"""Who reads which partitions now, as Kafka's groups have it; and who among them is not of ours."""

import os
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass

from confluent_kafka import KafkaException

from refold.streams import kafka
from refold.streams.chunk import Place
from refold.streams.refusals import of_kafka
from refold.streams.settings import Settings

_ASK_S = 3.0
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_-]+")
_OURS = re.compile(r"refold-(?P<group>.+)@(?P<host>[A-Za-z0-9_-]+)\.(?P<pid>\d+)")


@dataclass(frozen=True)
class Member:
    """A member of a group. `host` and `pid` are its own word; None where it is not of ours."""

    group: str
    client_id: str
    address: str
    host: str | None
    pid: int | None
    places: tuple[Place, ...]

    @property
    def is_foreign(self) -> bool:
        """Whether no process of Refold is behind it."""
        return self.pid is None


def client_id(group: str) -> str:
    """What a process of ours calls itself in a group."""
    return f"refold-{group}@{_host()}.{os.getpid()}"


def group_name(settings: Settings, role: str) -> str:
    """The name of a role's group in Kafka."""
    return f"{settings.topic_prefix}refold-{role}"


def members(settings: Settings, roles: Iterable[str]) -> list[Member]:
    """The members of the roles' groups; none of groups that a broker has not looked up yet. Raises KafkaUnavailable, KafkaRefused."""
    names = {group_name(settings, role): role for role in roles}
    client = kafka.admin(settings.kafka_servers())  # one that nobody holds any more answers nothing
    asked = client.describe_consumer_groups(list(names), request_timeout=_ASK_S)
    found = []
    for name, future in asked.items():
        try:
            described = future.result(_ASK_S)
        except KafkaException as problem:
            raise of_kafka(problem.args[0], "Kafka does not describe its groups") from problem
        except TimeoutError:  # no group was ever there: the broker is about to make the topic of its groups
            continue
        for each in described.members:
            places = [(tp.topic, tp.partition) for tp in (each.assignment.topic_partitions if each.assignment else [])]
            found.append(_member(names[name], name, each.client_id, each.host, places))
    return found


def _member(role: str, name: str, client: str, address: str, places: list[Place]) -> Member:
    found = _OURS.fullmatch(client)
    is_ours = found is not None and found["group"] == name
    host, pid = (found["host"], int(found["pid"])) if found is not None and is_ours else (None, None)
    return Member(role, client, address, host, pid, tuple(sorted(places)))


def _host() -> str:
    return _NOT_IN_A_NAME.sub("-", socket.gethostname()) or "host"
