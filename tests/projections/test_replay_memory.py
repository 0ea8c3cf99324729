"""The bound of memory that an operator sets, and what is refused."""

import pytest

from refold.api.cli import app as cli
from refold.api.cli import exits
from refold.projections.errors import BadMemory
from refold.projections.replay.memory import rows_room


def test_a_gigabyte_leaves_a_fifth_of_what_the_program_does_not_take() -> None:
    assert rows_room("1GB") == (10**9 - 640 * 2**20) // 5
    assert rows_room("2GiB") == (2 * 2**30 - 640 * 2**20) // 5
    assert rows_room("800MB") > 24 * 2**20


@pytest.mark.parametrize(
    "text", ["", "1", "GB", "0GB", "1.5GB", "1 GB", "-1GB", "1e3MB", "1TB", "1gb", "01GB", "1_000MB", "٣GB", "1GB\n"]
)
def test_what_is_no_whole_number_with_a_unit_is_refused(text: str) -> None:
    with pytest.raises(BadMemory) as refused:
        rows_room(text)
    assert refused.value.code == "memory-invalid"


@pytest.mark.parametrize("text", ["1MB", "799MB", "762MiB"])
def test_less_than_a_replay_takes_is_refused(text: str) -> None:
    with pytest.raises(BadMemory, match="at least 800MB"):
        rows_room(text)


@pytest.mark.parametrize("command", ["rebuild", "verify"])
def test_the_command_refuses_it_before_it_asks_a_server(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["replay", command, "--all", "--memory", "1TB"]) == exits.USAGE
    assert "memory-invalid: --memory 1TB" in capsys.readouterr().err
