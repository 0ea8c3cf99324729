import re
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


@pytest.mark.parametrize(
    "servers", ["", ":", "b", "b:", ":9092", "b:0", "b:70000", "b:9092,", "b:9092;c:9092", "kafka://b:9092", "::1:9092"]
)
def test_an_address_of_kafka_that_cannot_be_is_refused_at_once(servers: str) -> None:
    with pytest.raises(BadSettings, match=r"^kafka: '.*' is not of the form host:port; several are joined by commas$"):
        Settings.load({"REFOLD_KAFKA": servers})


def test_addresses_of_kafka_are_hosts_and_ports_joined_by_commas() -> None:
    assert Settings.load({"REFOLD_KAFKA": "b-1.x_y:9092, [::1]:9093"}).kafka_servers() == "b-1.x_y:9092,[::1]:9093"


@pytest.mark.parametrize(
    ("variable", "says"), [("REFOLD_CONFIG", ""), ("REFOLD_DATABASE_URL_FILE", "REFOLD_DATABASE_URL_FILE: ")]
)
def test_a_file_that_is_missing_or_no_text_is_one_sentence(variable: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "given"
    for content, why in ((None, "No such file or directory"), (b"\xff\xfe", "it is not UTF-8 text")):
        if content:
            path.write_bytes(content)
        with pytest.raises(BadSettings) as caught:
            Settings.load({variable: str(path)})
        assert caught.value.message == f"{says}{path} cannot be read ({why})"


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


def test_the_door_of_keys_brings_their_domain_and_children_get_the_same() -> None:
    settings = Settings.load({"REFOLD_API_DOORS": "keys", "REFOLD_DOMAINS": "shop"})
    assert settings.domains == ["shop", "access"]
    assert Settings.load(settings.environment()).domains == ["shop", "access"]
    assert Settings.load({"REFOLD_API_DOORS": "keys"}).domains == ["retail", "access"]


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"REFOLD_API_DOORS": "keys,open"}, "local and open are without a login, so each stands alone"),
        ({"REFOLD_DOMAINS": "access"}, "access is Refold's own domain; the door `keys` of api_doors adds it"),
        ({"REFOLD_API_DOORS": "window"}, "api_doors.0"),
        ({"REFOLD_API_DOORS": ""}, "api_doors"),
    ],
)
def test_doors_that_contradict_each_other_are_refused(environ: dict[str, str], says: str) -> None:
    with pytest.raises(BadSettings, match=re.escape(says)):
        Settings.load(environ)
