"""Real workers whose domain never ends on some records: they end themselves some times, and then live with it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from refold.api.cli.stack import Stack
from tests.conftest import settings_for
from tests.killers.test_killed_workers import Answers, patched_stack, until_decided, wait_for

ENDLESS = Path(__file__).parent / "endless"
TEXTS = {"l": "decide-loops", "b": "decide-backtracks", "r": "react-loops", "n": "fine"}
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def stack(kafka: str, module_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Workers that are given the least CPU time there is."""
    folder = tmp_path_factory.mktemp("stuck")
    settings = settings_for(kafka, module_database, folder, decode_attempts=1, stuck_cpu_s=5)
    with patched_stack(settings, ENDLESS) as running:
        yield running


@pytest.fixture(scope="module")
def answers(stack: Stack, api: httpx.Client) -> Answers:
    """What became of each basket's opening."""
    with ThreadPoolExecutor(len(TEXTS)) as pool:
        return dict(zip(TEXTS, pool.map(lambda one: until_decided(api, stack, *one), TEXTS.items()), strict=True))


def test_a_command_that_never_ends_is_rejected_and_all_others_are_decided(
    api: httpx.Client, stack: Stack, answers: Answers
) -> None:
    assert {name: (answers[name].status_code, answers[name].json().get("code")) for name in "lb"} == {
        "l": (409, "code-kills"),
        "b": (409, "code-kills"),
    }
    assert {answers[name].status_code for name in "rn"} == {201}
    assert {until_decided(api, stack, name, "fine").status_code for name in "lb"} == {201}, "the streams go on"


@pytest.mark.usefixtures("answers")
def test_an_event_that_a_reactor_never_ends_on_holds_its_stream(stack: Stack) -> None:
    wait_for(stack, "SELECT 1 FROM refold.reactor_parked WHERE stream = 'r' AND code = 'code-kills'")
    (found,) = wait_for(stack, "SELECT array_agg(grp || ' ' || reason ORDER BY grp) FROM refold.set_aside")
    assert found == ["handler code-kills", "handler code-kills", "reactors code-kills"], "and nothing else"


@pytest.mark.usefixtures("answers")
def test_the_log_shows_where_it_stood(stack: Stack) -> None:
    log = (stack.settings.data / "logs" / "handler.log").read_text()
    assert "in loops" in log
    assert "in backtracks" in log
    assert "stuck_cpu_s is 5" in log
