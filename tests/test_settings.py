from pathlib import Path

import pytest

from refold.streams.errors import BadSettings, NotConnected
from refold.streams.settings import Settings

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_defaults_need_nothing() -> None:
    assert Settings.load({}).partitions == 4


def test_the_environment_wins_over_the_file_and_origins_say_so() -> None:
    Path("refold.toml").write_text('partitions = 8\napi_port = 9000\ndomains = ["retail", "shop"]\n')
    settings, origins = Settings.load_with_origins({"REFOLD_PARTITIONS": "2"})
    assert (settings.partitions, settings.api_port, settings.domains) == (2, 9000, ["retail", "shop"])
    assert origins["partitions"] == "environment (REFOLD_PARTITIONS)"
    assert origins["api_port"] == "refold.toml"
    assert origins["kafka"] == "default"


def test_a_secret_can_come_from_a_file_and_is_masked() -> None:
    Path("secret").write_text("postgresql://u:hidden@h/d\n")
    settings = Settings.load({"REFOLD_DATABASE_URL_FILE": "secret"})
    assert settings.dsn() == "postgresql://u:hidden@h/d"
    assert "hidden" not in repr(settings)


@pytest.mark.parametrize(
    "url", ["postgresql+psycopg://u:hidden@h/d", "postgresql://u:hid%zzden@h/d", "hidden", "postgresql://u:hid den@h/d"]
)
def test_a_database_url_that_cannot_be_read_is_named_and_not_shown(url: str) -> None:
    with pytest.raises(BadSettings) as found:
        Settings.load({"REFOLD_DATABASE_URL": url})
    assert found.value.message.startswith("database_url: ")
    assert "hid" not in str(found.value) + found.value.message


def test_all_faults_are_named_at_once() -> None:
    Path("refold.toml").write_text("colour = 1\n")
    environ = {"REFOLD_PARTITIONS": "none", "REFOLD_COLOUR": "red", "REFOLD_DATABASE_URL_FILE": "gone"}
    with pytest.raises(BadSettings) as caught:
        Settings.load(environ)
    for fault in ["refold.toml: colour", "partitions:", "REFOLD_COLOUR:", "REFOLD_DATABASE_URL_FILE: gone"]:
        assert fault in caught.value.message
    assert caught.value.code == "bad-settings"


def test_the_environment_of_a_child_gives_the_same_settings() -> None:
    settings = Settings.load({"REFOLD_DOMAINS": "retail,shop"}).with_servers("k:1", "postgresql://p")
    assert Settings.load(settings.environment()).model_copy(update={"data": settings.data}) == settings


def test_no_server_named_is_said_with_the_remedy() -> None:
    with pytest.raises(NotConnected) as caught:
        Settings.load({}).kafka_servers()
    assert "refold dev" in caught.value.remedy


def test_the_documentation_lists_every_setting() -> None:
    page = (ROOT / "docs/configuration.md").read_text()
    for name, field in Settings.model_fields.items():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name}`"))
        assert field.description
        assert field.description in row
        assert f"`REFOLD_{name.upper()}`" in row
