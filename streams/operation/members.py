"""Reads the members of Kafka's consumer groups and their partitions, and tells which of them are not ours."""

import os
import re
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from refold.streams.chunk import Place
from refold.streams.errors import KafkaRefused, KafkaUnavailable
from refold.streams.kafka import clients
from refold.streams.operation.presence import Said
from refold.streams.refusals import of_kafka
from refold.streams.settings import Settings

_ASK_S = 3.0
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_-]+")
_OURS = re.compile(r"refold-(?P<group>.+)@(?P<host>[A-Za-z0-9_-]+)\.(?P<pid>\d+)")


@dataclass(frozen=True)
class Member:
    """A member of a consumer group. `member_id`: the broker's name for it.

    `host` and `pid`: as the member itself says; None if it is foreign.
    """

    group: str
    client_id: str
    address: str
    host: str | None
    pid: int | None
    places: tuple[Place, ...]
    member_id: str = ""

    @property
    def is_foreign(self) -> bool:
        """Whether the member is not a process of Refold."""
        return self.pid is None


def client_id(group: str) -> str:
    """The client id of this process in a consumer group."""
    return f"refold-{group}@{_host()}.{os.getpid()}"


def group_name(settings: Settings, role: str) -> str:
    """The name of a role's consumer group in Kafka."""
    return f"{settings.topic_prefix}refold-{role}"


class MemberReader:
    """Reads the members of consumer groups, over connections that are kept until one fails."""

    def __init__(self, settings: Settings) -> None:
        """Connects at the first question."""
        self._settings = settings
        self._client: AdminClient | None = None

    def read(self, roles: Iterable[str]) -> list[Member]:
        """The members of the roles' groups; none if Kafka has no groups yet. Raises KafkaUnavailable, KafkaRefused."""
        names = {group_name(self._settings, role): role for role in roles}
        self._client = client = self._client or clients.admin(self._settings.kafka_servers())
        try:
            return _described(client, names)
        except (KafkaUnavailable, KafkaRefused):
            self._client = None
            raise


def _described(client: AdminClient, names: Mapping[str, str]) -> list[Member]:
    asked = client.describe_consumer_groups(list(names), request_timeout=_ASK_S)
    found = []
    for name, future in asked.items():
        try:
            described = future.result(_ASK_S)
        except KafkaException as problem:
            raise of_kafka(problem.args[0], "Kafka does not describe its groups") from problem
        except TimeoutError:  # no group has ever existed: the broker is about to make the topic for its groups
            continue
        for each in described.members:
            places = [(tp.topic, tp.partition) for tp in (each.assignment.topic_partitions if each.assignment else [])]
            found.append(_member(names[name], name, each.client_id, each.host, places, each.member_id))
    return found


def unknown(members: Iterable[Member], said: Said) -> list[Member]:
    """Members with a client id of ours that no process of ours has published as its own.

    A process that has just joined has not published yet, and a killed one stays in its group for a moment: look twice.
    """
    return [
        each
        for each in members
        if not each.is_foreign
        and each.member_id not in said.members
        and (each.host, each.pid) not in {(_in_a_name(host), pid) for host, pid in said.silent}
    ]


def _member(role: str, name: str, client: str, address: str, places: list[Place], member_id: str = "") -> Member:
    found = _OURS.fullmatch(client)
    is_ours = found is not None and found["group"] == name
    host, pid = (found["host"], int(found["pid"])) if found is not None and is_ours else (None, None)
    return Member(role, client, address, host, pid, tuple(sorted(places)), member_id)


def _host() -> str:
    return _in_a_name(socket.gethostname())


def _in_a_name(host: str) -> str:
    return _NOT_IN_A_NAME.sub("-", host) or "host"
