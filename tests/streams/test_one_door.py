"""Tests that every Kafka client is made in one module, which has the settings that correctness depends on."""

import ast
from pathlib import Path

from refold.streams.kafka import clients

ROOT = Path(clients.__file__).parents[2]
MADE_AT = {
    "Consumer": "streams/kafka/clients.py",
    "DeserializingConsumer": "",
    "Producer": "streams/kafka/clients.py",
    "SerializingProducer": "",
    "AdminClient": "streams/kafka/clients.py",
    "AIOKafkaClient": "streams/kafka/leader_client.py",
    "AIOKafkaConsumer": "",
    "AIOKafkaProducer": "",
}
"""Each class of the two libraries, and the one module that may call it; none where nobody may."""


def calls(tree: ast.Module) -> list[str]:
    """The library's classes that a module calls, under whatever name it has imported them, or through the package."""
    named: dict[str, str] = {}
    packages: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in {"confluent_kafka", "aiokafka"}:
            named |= {each.asname or each.name: each.name for each in node.names}
        if isinstance(node, ast.Import):
            ours = [each for each in node.names if each.name.split(".")[0] in {"confluent_kafka", "aiokafka"}]
            packages |= {(each.asname or each.name).split(".")[0] for each in ours}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            found.append(named.get(node.func.id, ""))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            whole = ast.unparse(node.func).split(".")
            found.append(whole[-1] if whole[0] in packages else "")
    return [name for name in found if name in MADE_AT]


def test_clients_of_kafka_are_made_at_one_door() -> None:
    made = {
        (name, str(path.relative_to(ROOT)))
        for package in ROOT.iterdir()
        if package.is_dir()
        for path in package.rglob("*.py")
        for name in calls(ast.parse(path.read_text()))
    }
    assert made == {(name, where) for name, where in MADE_AT.items() if where}


def test_the_check_itself_sees_a_client_that_is_made_elsewhere() -> None:
    assert calls(ast.parse("from confluent_kafka import Consumer as C\nC({})")) == ["Consumer"]
    assert calls(ast.parse("import confluent_kafka as k\nk.admin.AdminClient({})")) == ["AdminClient"]
    assert calls(ast.parse("import aiokafka.client\naiokafka.client.AIOKafkaClient()")) == ["AIOKafkaClient"]
    assert calls(ast.parse("from refold.streams.sending.producer import Producer\nProducer({})")) == []


def asks_admin_for_offsets(tree: ast.Module) -> bool:
    """Whether a module names `list_offsets`, as a call or as an attribute that it hands on."""
    return any(isinstance(node, ast.Attribute) and node.attr == "list_offsets" for node in ast.walk(tree))


def test_nobody_asks_an_admin_client_for_offsets() -> None:
    """librdkafka ends the process by an assertion where a broker is started again under that question."""
    assert asks_admin_for_offsets(ast.parse("found = clients.admin(servers).list_offsets({})"))
    assert asks_admin_for_offsets(ast.parse("asked = client.list_offsets"))
    modules = [path for package in ROOT.iterdir() if package.is_dir() for path in package.rglob("*.py")]
    assert len(modules) > 100
    assert [str(path) for path in modules if asks_admin_for_offsets(ast.parse(path.read_text()))] == []
