"""A topic of events is deleted and made again under running processes.

The fault is named, no row is wrong, and a restored log goes on.
"""

import json
from http.client import HTTPConnection
from pathlib import Path

import pytest

from refold.api.cli.app import run
from refold.api.cli.stack import Stack
from refold.streams.kafka import clients
from refold.streams.log.topics import events_topic
from refold.streams.settings import Settings
from tests.api.test_changed_topics import makes_anew
from tests.e2e import results
from tests.e2e.agreement import assert_agreement
from tests.e2e.clients import Crowd, asked_again
from tests.e2e.oracle import assert_tables_are_the_fold_of_the_log
from tests.e2e.tables import until
from tests.e2e.test_restore import answers


@pytest.mark.e2e
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("servers")
def test_a_topic_made_anew_is_named_and_its_restored_log_goes_on(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)

    def of_the_log() -> set[str]:
        capsys.readouterr()
        run(["status", "--json"])
        return {each["code"] for each in json.loads(capsys.readouterr().out)["findings"]} & {"log-topic-recreated"}

    folder = str(tmp_path / "log")
    with Stack(settings, lambda _: None) as stack:
        stack.wait_until_ready()
        with Crowd(stack.settings, 3, 5) as crowd:
            until(lambda: answers(settings) > 60, 60, "nothing is answered")
        seen = crowd.seen
        assert_agreement(stack.settings, seen)
        before = assert_tables_are_the_fold_of_the_log(stack.settings).outcomes
        assert run(["log", "dump", folder]) == 0
        makes_anew(clients.admin(settings.kafka_servers()), events_topic(settings.topic_prefix, "retail.basket"))
        until(lambda: bool(of_the_log()), 60, "status does not say it")
        until(lambda: _refused(stack.settings), 60, "commands are still taken")
        assert answers(settings) == len(before)
    assert run(["log", "restore", folder, "--replace", "--execute"]) == 0
    with Stack(settings, lambda _: None) as stack:
        stack.wait_until_ready()
        assert assert_tables_are_the_fold_of_the_log(stack.settings).outcomes == before
        assert not of_the_log()
        again = asked_again(stack.settings, seen)
        assert_agreement(stack.settings, [*seen, *again])
        results.note("a topic made anew", again=len(again), records=len(before))


def _refused(settings: Settings) -> bool:
    connection = HTTPConnection(settings.api_host, settings.api_port, timeout=10)
    body, headers = json.dumps({"basket_id": "late", "store_id": 1}), {"Idempotency-Key": "late"}
    connection.request(
        "POST", "/v1/commands/retail/basket/OpenBasket", body, {"Content-Type": "application/json", **headers}
    )
    answer = connection.getresponse()
    said = json.loads(answer.read())
    connection.close()
    return (answer.status, said.get("code")) == (503, "log-topic-recreated")
