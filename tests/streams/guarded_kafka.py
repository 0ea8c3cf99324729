"""A broker that demands TLS and a login: the embedded one with other listeners, and a small authority for its certificate."""

import datetime as dt
import ipaddress
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from refold.api.embedded.kafka import KafkaServer
from refold.api.embedded.ports import HOST, kept_ports, recorded_ports
from tests.streams.token_issuer import AUDIENCE

JAAS = "org.apache.kafka.common.security"
USERS = {"worker": "right, so it has a comma", "reader": "p=q"}


@dataclass(frozen=True)
class Certificates:
    """Files in PEM: the authority, a key with its certificate, and the two in one file as Kafka wants them."""

    authority: Path
    certificate: Path
    key: Path
    both: Path


def certificates(folder: Path) -> Certificates:
    """An authority, and a certificate of it for this machine's loopback address."""
    folder.mkdir()
    root, root_key = _signed("Refold test authority")
    own, key = _signed("broker", root, root_key)
    made = Certificates(*(folder / name for name in ("ca.pem", "own.pem", "key.pem", "both.pem")))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem = own.public_bytes(serialization.Encoding.PEM)
    made.authority.write_bytes(root.public_bytes(serialization.Encoding.PEM))
    made.certificate.write_bytes(pem)
    made.key.write_bytes(private)
    made.both.write_bytes(private + pem)
    return made


def _signed(
    name: str, issuer: x509.Certificate | None = None, issuer_key: ec.EllipticCurvePrivateKey | None = None
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key((issuer_key or key).public_key()), critical=False
        )
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), critical=False)
    )
    return built.sign(issuer_key or key, hashes.SHA256()), key


class GuardedKafka(KafkaServer):
    """Listens for itself, with TLS and a login, with a client's certificate, with a login alone, and with a token."""

    LISTENERS = ("broker", "login", "certificate", "plain", "token")

    def __init__(self, data: Path, held: Certificates, issuer: str) -> None:
        """`issuer`: address of who signs the tokens."""
        super().__init__(data)
        self._held, self._issuer = held, issuer
        self._folder.mkdir(parents=True)
        self._more = kept_ports(self._folder, (*self.LISTENERS, "controller"))

    @property
    def ports(self) -> dict[str, int]:
        """The port of each listener."""
        return self._more | recorded_ports(self._folder)

    def _properties_for(self, log: Path, ports: dict[str, int]) -> str:
        ports = self._more | ports
        names = {"login": "SASL_SSL", "certificate": "SSL", "plain": "SASL_PLAINTEXT", "token": "SASL_PLAINTEXT"}
        known = "".join(f'user_{name}="{word}" ' for name, word in USERS.items())
        more = [f"listener.name.{name}.ssl.keystore.type=PEM" for name in ("login", "certificate")]
        more += [f"listener.name.{name}.ssl.keystore.location={self._held.both}" for name in ("login", "certificate")]
        more += [f"listener.name.certificate.ssl.{key}" for key in ("client.auth=required", "truststore.type=PEM")]
        more.append(f"listener.name.certificate.ssl.truststore.location={self._held.authority}")
        for name in ("login", "plain"):
            more.append(f"listener.name.{name}.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256")
            more.append(f"listener.name.{name}.plain.sasl.jaas.config={JAAS}.plain.PlainLoginModule required {known};")
            more.append(f"listener.name.{name}.scram-sha-256.sasl.jaas.config={JAAS}.scram.ScramLoginModule required;")
        token, bearer = "listener.name.token.oauthbearer.sasl", f"{JAAS}.oauthbearer.OAuthBearer"
        more += [
            "listener.name.token.sasl.enabled.mechanisms=OAUTHBEARER",
            f"{token}.jaas.config={bearer}LoginModule required;",
            f"{token}.server.callback.handler.class={bearer}ValidatorCallbackHandler",
            f"{token}.oauthbearer.jwks.endpoint.url={self._issuer}/keys",
            f"{token}.oauthbearer.expected.audience={AUDIENCE}",
            f"{token}.oauthbearer.expected.issuer={self._issuer}",
        ]
        text = super()._properties_for(log, ports)
        for key in ("listeners", "advertised.listeners"):
            there = ",".join(f"{name.upper()}://{HOST}:{ports[name]}" for name in names)
            text = text.replace(f"\n{key}=", f"\n{key}={there},")
        mapped = ",".join(f"{name.upper()}:{protocol}" for name, protocol in names.items())
        text = text.replace("\nlistener.security.protocol.map=", f"\nlistener.security.protocol.map={mapped},")
        return text + "\n".join(more) + "\n"

    def _java(self) -> list[str]:
        java, *words = super()._java()
        return [java, f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={self._issuer}/keys", *words]

    def add_scram_user(self, name: str) -> None:
        """A user of SCRAM is kept in the broker's own log."""
        made = f"SCRAM-SHA-256=[iterations=4096,password={USERS[name]}]"
        tool = ["kafka.admin.ConfigCommand", "--bootstrap-server", f"{HOST}:{self.ports['broker']}", "--alter"]
        words = [*self._java(), *self._logging(), *tool, "--add-config", made, "--entity-type", "users"]
        subprocess.run([*words, "--entity-name", name], capture_output=True, text=True, check=True)
