"""Tests of the file that `kafka_config` names: what is taken, and what is refused before anything starts."""

import pickle
from pathlib import Path

import pytest

from refold.streams.errors import BadSettings
from refold.streams.kafka import clients
from refold.streams.kafka.aiokafka_login import of_aiokafka
from refold.streams.kafka_login import Addresses, options_of
from refold.streams.settings import Settings

PLAIN = "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.username=ann\nsasl.password=secret-word\n"


def loaded(path: Path, text: str | bytes) -> Settings:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return Settings.load({"REFOLD_KAFKA": "b:9092", "REFOLD_KAFKA_CONFIG": str(path)})


def test_the_addresses_are_a_text_that_carries_the_login(tmp_path: Path) -> None:
    servers = loaded(tmp_path / "k", f"# ours\n\n  {PLAIN}").kafka_servers()
    assert (servers, f"{servers}", repr(servers)) == ("b:9092", "b:9092", "'b:9092'")
    assert options_of(servers)["sasl.password"] == "secret-word"
    assert options_of("b:9092") == {}
    assert options_of(pickle.loads(pickle.dumps(servers))) == options_of(servers)


def test_a_value_may_hold_any_character(tmp_path: Path) -> None:
    text = PLAIN.replace("secret-word", "a=b, #c ;\\d")
    assert options_of(loaded(tmp_path / "k", text).kafka_servers())["sasl.password"] == "a=b, #c ;\\d"


def test_the_other_library_gets_the_same_login(tmp_path: Path) -> None:
    found = of_aiokafka(loaded(tmp_path / "k", PLAIN.replace("PLAIN\n", "SCRAM-SHA-512\n")).kafka_servers())
    assert found == {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "ann",
        "sasl_plain_password": "secret-word",
    }
    assert of_aiokafka("b:9092") == {"security_protocol": "PLAINTEXT"}


def test_names_and_certificates_are_checked_unless_the_file_says_otherwise() -> None:
    def context(**more: str) -> tuple[bool, int]:
        options = {"security.protocol": "ssl"} | {name.replace("_", "."): value for name, value in more.items()}
        made = of_aiokafka(Addresses("b:9092", options))["ssl_context"]
        return made.check_hostname, int(made.verify_mode)

    assert context() == (True, 2)
    assert context(ssl_endpoint_identification_algorithm="none") == (False, 2)
    assert context(enable_ssl_certificate_verification="false") == (False, 0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("acks=1\n", "line 1: acks is Refold's own"),
        ("\ntransactional.id=x", "line 2: transactional.id is Refold's own"),
        ("sasl.username", "line 1: not of the form name=value"),
        (f"{PLAIN}sasl.password=other", "line 5: sasl.password is there twice"),
        ("sasl.kerberos.principal=x", "line 1: sasl.kerberos.principal is not supported"),
        ("security.protocol=TLS", "security.protocol is one of PLAINTEXT, SASL_PLAINTEXT, SASL_SSL, SSL"),
        ("ssl.ca.location=/ca.pem", "ssl.ca.location has no effect, as security.protocol is PLAINTEXT"),
        (PLAIN.replace("=PLAIN\n", "=GSSAPI\n"), "sasl.mechanism is one of"),
        (PLAIN.replace("sasl.password=secret-word", ""), "sasl.password is missing; PLAIN needs it"),
        ("security.protocol=SSL\nssl.ca.location=/no/such/ca.pem", "certificates, key or ciphers cannot be used"),
        (b"\xff\xfe", "it is not UTF-8 text"),
    ],
)
def test_a_file_with_a_fault_is_refused_with_the_place_and_without_a_secret(
    text: str | bytes, says: str, tmp_path: Path
) -> None:
    with pytest.raises(BadSettings) as caught:
        loaded(tmp_path / "k", text)
    assert caught.value.message.startswith(f"kafka_config: {tmp_path / 'k'}")
    assert says in caught.value.message
    assert "secret-word" not in caught.value.message


def test_a_file_that_is_missing_is_said_at_once_and_later(tmp_path: Path) -> None:
    path = tmp_path / "k"
    settings = loaded(path, PLAIN)
    path.unlink()
    with pytest.raises(BadSettings, match="cannot be read"):
        settings.kafka_servers()
    with pytest.raises(BadSettings, match=r"kafka_config: .* cannot be read \(No such file or directory\)"):
        Settings.load({"REFOLD_KAFKA": "b:9092", "REFOLD_KAFKA_CONFIG": str(path)})


def test_a_login_without_kafkas_address_is_refused(tmp_path: Path) -> None:
    (tmp_path / "k").write_text(PLAIN)
    with pytest.raises(BadSettings, match="kafka_config: the file needs `kafka`"):
        Settings.load({"REFOLD_KAFKA_CONFIG": str(tmp_path / "k")})


def test_in_a_toml_the_file_is_beside_it(tmp_path: Path) -> None:
    (tmp_path / "k").write_text(PLAIN)
    (tmp_path / "refold.toml").write_text('kafka = "b:9092"\nkafka_config = "k"\n')
    settings = Settings.load({"REFOLD_CONFIG": str(tmp_path / "refold.toml")})
    assert options_of(settings.kafka_servers())["sasl.username"] == "ann"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("no.such.setting=1", 'No such configuration property: "no.such.setting"'),
        ("socket.timeout.ms=soon", 'configuration property "socket.timeout.ms"'),
    ],
)
def test_what_librdkafka_cannot_use_is_no_broker_that_is_away(line: str, says: str, tmp_path: Path) -> None:
    servers = loaded(tmp_path / "k", line).kafka_servers()
    for make in (clients.consumer, clients.producer, clients.admin, clients.check_login):
        with pytest.raises(BadSettings, match=r"^kafka_config: ") as caught:
            make(servers)
        assert says in caught.value.message
