# What we use of confluent_kafka.admin. Each call returns futures by what was asked for.

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from enum import Enum
from logging import Logger
from typing import Any

from confluent_kafka import TopicCollection, TopicPartition, Uuid

# What settings belong to.
class ResourceType(Enum):
    TOPIC = 2
    BROKER = 4

# What happens to a setting.
class AlterConfigOpType(Enum):
    SET = 0
    DELETE = 1

# One setting and its value.
class ConfigEntry:
    name: str
    value: str
    is_default: bool
    def __init__(self, name: str, value: str, *, incremental_operation: AlterConfigOpType | None = None) -> None: ...

# What settings are asked of, or changed.
class ConfigResource:
    name: str
    def __init__(
        self, restype: ResourceType, name: str, *, incremental_configs: list[ConfigEntry] | None = None
    ) -> None: ...

# A topic to be made.
class NewTopic:
    topic: str
    num_partitions: int
    replication_factor: int
    config: dict[str, str]
    def __init__(
        self, topic: str, num_partitions: int = -1, replication_factor: int = -1, *, config: Mapping[str, str] = ...
    ) -> None: ...

# How many partitions a topic is to have.
class NewPartitions:
    def __init__(self, topic: str, new_total_count: int) -> None: ...

# Which offset is asked for.
class OffsetSpec:
    @classmethod
    def earliest(cls) -> OffsetSpec: ...
    @classmethod
    def latest(cls) -> OffsetSpec: ...

# An offset that was asked for.
class ListOffsetsResultInfo:
    offset: int

# A topic, as the broker has it.
class TopicDescription:
    name: str
    topic_id: Uuid
    partitions: list[Any]

# The partitions of a member of a group.
class MemberAssignment:
    topic_partitions: list[TopicPartition]

# A member of a group.
class MemberDescription:
    member_id: str
    client_id: str
    host: str
    assignment: MemberAssignment | None

# A group of consumers.
class ConsumerGroupDescription:
    members: list[MemberDescription]

# The cluster as a broker described it.
class ClusterMetadata:
    brokers: dict[int, Any]
    topics: dict[str, TopicMetadata]

# One topic of it.
class TopicMetadata:
    partitions: dict[int, Any]

# A client that creates, describes and changes.
class AdminClient:
    def __init__(self, conf: Mapping[str, Any], *, logger: Logger | None = None) -> None: ...
    def list_topics(self, topic: str | None = None, timeout: float = -1) -> ClusterMetadata: ...
    def create_topics(
        self, new_topics: Sequence[NewTopic], *, operation_timeout: float = ...
    ) -> dict[str, Future[None]]: ...
    def create_partitions(self, new_partitions: list[NewPartitions]) -> dict[str, Future[None]]: ...
    def delete_topics(self, topics: list[str], *, operation_timeout: float = ...) -> dict[str, Future[None]]: ...
    def delete_records(self, topic_partition_offsets: list[TopicPartition]) -> dict[TopicPartition, Future[Any]]: ...
    def describe_configs(
        self, resources: list[ConfigResource], *, request_timeout: float = ...
    ) -> dict[ConfigResource, Future[dict[str, ConfigEntry]]]: ...
    def incremental_alter_configs(
        self, resources: list[ConfigResource], *, request_timeout: float = ...
    ) -> dict[ConfigResource, Future[None]]: ...
    def describe_topics(
        self, topics: TopicCollection, *, request_timeout: float = ...
    ) -> dict[str, Future[TopicDescription]]: ...
    def describe_consumer_groups(
        self, group_ids: list[str], *, request_timeout: float = ...
    ) -> dict[str, Future[ConsumerGroupDescription]]: ...
    def list_offsets(
        self, topic_partition_offsets: Mapping[TopicPartition, OffsetSpec], *, request_timeout: float = ...
    ) -> dict[TopicPartition, Future[ListOffsetsResultInfo]]: ...
