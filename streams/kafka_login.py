"""What a client of Kafka needs besides addresses: TLS, a login and settings of librdkafka's, from one file.

librdkafka takes the settings as they are. aiokafka, which reads whole batches, gets the same login by its own names.
"""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from refold.streams.errors import BadSettings

OURS = frozenset(
    [
        "acks",
        "allow.auto.create.topics",
        "auto.offset.reset",
        "batch.num.messages",
        "batch.size",
        "bootstrap.servers",
        "check.crcs",
        "client.id",
        "delivery.report.only.error",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.idempotence",
        "enable.partition.eof",
        "fetch.max.bytes",
        "fetch.min.bytes",
        "fetch.wait.max.ms",
        "group.id",
        "group.instance.id",
        "group.protocol",
        "heartbeat.interval.ms",
        "isolation.level",
        "linger.ms",
        "max.partition.fetch.bytes",
        "max.poll.interval.ms",
        "message.max.bytes",
        "message.timeout.ms",
        "metadata.broker.list",
        "partition.assignment.strategy",
        "partitioner",
        "queue.buffering.max.kbytes",
        "queue.buffering.max.messages",
        "queue.buffering.max.ms",
        "queued.max.messages.kbytes",
        "queued.min.messages",
        "request.required.acks",
        "session.timeout.ms",
        "transactional.id",
    ]
)
"""Settings that Refold's correctness depends on, that `kafka` gives, or that each client needs otherwise. A file may not
set them."""
_TOKEN_NEEDS = (
    "sasl.oauthbearer.method",
    "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.token.endpoint.url",
)
_OAUTH = frozenset({*_TOKEN_NEEDS, "sasl.oauthbearer.scope", "https.ca.location"})
LOGIN = _OAUTH | frozenset(
    [
        "security.protocol",
        "sasl.mechanism",
        "sasl.mechanisms",
        "sasl.username",
        "sasl.password",
        "ssl.ca.location",
        "ssl.certificate.location",
        "ssl.key.location",
        "ssl.key.password",
        "ssl.crl.location",
        "ssl.cipher.suites",
        "ssl.endpoint.identification.algorithm",
        "enable.ssl.certificate.verification",
    ]
)
"""Settings of TLS and of the login that both libraries can follow."""
_PROTOCOLS = frozenset({"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"})
_MECHANISMS = frozenset({"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"})
_NO = frozenset({"false", "f", "0"})
_YES = frozenset({"true", "t", "1"})


class Addresses(str):
    """Bootstrap servers, host:port joined by commas, and with them what their clients need besides.

    It is the text that every client of Kafka is made with, so no client can be made without its login. Its text alone
    is printed, never a secret.
    """

    __slots__ = ("options",)
    options: Mapping[str, str]

    def __new__(cls, servers: str, options: Mapping[str, str]) -> Self:
        """Options are librdkafka's settings by name."""
        made = super().__new__(cls, servers)
        made.options = dict(options)
        return made

    def __getnewargs__(self) -> tuple[str, Mapping[str, str]]:  # type: ignore[override]  # str's own gives the text alone
        """A child process that is handed the addresses gets the options, too."""
        return str(self), self.options


def addresses(servers: str, config: Path) -> Addresses:
    """The servers, with what a file of settings says now: a password may have been changed. Raises BadSettings."""
    try:
        return Addresses(servers, read_options(config))
    except ValueError as problem:
        raise BadSettings(f"kafka_config: {problem}") from None


def options_of(servers: str) -> Mapping[str, str]:
    """Librdkafka's settings for these servers; none for a plain text."""
    return servers.options if isinstance(servers, Addresses) else {}


def check_options(path: Path) -> None:
    """Read the file and the certificates that it names. Raises ValueError as `read_options`."""
    options = read_options(path)
    if protocol_of(options).endswith("SSL"):
        try:
            tls_context(options)
        except OSError as problem:  # of the module ssl, too; its message does not name the file
            raise ValueError(f"{path}: its certificates, key or ciphers cannot be used ({problem})") from None


def read_options(path: Path) -> dict[str, str]:
    """Settings from a file with a `name=value` a line; `#` begins a comment line.

    Raises ValueError, which names the line and never a value: values may be secrets.
    """
    try:
        lines = path.read_text().splitlines()
    except OSError as problem:
        raise ValueError(f"{path} cannot be read ({problem.strerror})") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} cannot be read (it is not UTF-8 text)") from None
    options: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = (part.strip() for part in line.partition("="))
        if fault := _fault(name, equals, options):
            raise ValueError(f"{path}, line {number}: {fault}")
        options[name] = value
    _check_login(options, path)
    return options


def _fault(name: str, equals: str, before: Mapping[str, str]) -> str | None:
    """What is wrong with a line, before librdkafka sees it."""
    if not name or not equals:
        return "not of the form name=value"
    if name in before:
        return f"{name} is there twice"
    if name in OURS:
        return f"{name} is Refold's own: each of its clients sets it"
    security = name.startswith(("ssl.", "sasl.", "enable.ssl.", "enable.sasl.", "https.", "security."))
    if security and name not in LOGIN:
        return f"{name} is not supported; of TLS and logins there are {', '.join(sorted(LOGIN))}"
    return None


def _check_login(options: Mapping[str, str], path: Path) -> None:
    """Raises ValueError, in words that name the setting, if the login is not whole."""
    protocol, mechanism = protocol_of(options), mechanism_of(options)
    if protocol not in _PROTOCOLS:
        raise ValueError(f"{path}: security.protocol is one of {', '.join(sorted(_PROTOCOLS))}")
    unused = sorted(
        name for name in options if name.startswith(("sasl.", "ssl.", "enable.ssl.")) and not _used(name, protocol)
    )
    if unused:
        raise ValueError(f"{path}: {unused[0]} has no effect, as security.protocol is {protocol}")
    checked = options.get("enable.ssl.certificate.verification", "true").lower()
    if checked not in _YES | _NO:
        raise ValueError(f"{path}: enable.ssl.certificate.verification is true or false")
    if not protocol.startswith("SASL_"):
        return
    if mechanism not in _MECHANISMS:
        raise ValueError(f"{path}: sasl.mechanism is one of {', '.join(sorted(_MECHANISMS))}")
    needed = _TOKEN_NEEDS if mechanism == "OAUTHBEARER" else ("sasl.username", "sasl.password")
    if missing := [name for name in needed if not options.get(name)]:
        raise ValueError(f"{path}: {missing[0]} is missing; {mechanism} needs it")


def _used(name: str, protocol: str) -> bool:
    return protocol.startswith("SASL_") if name.startswith("sasl.") else protocol.endswith("SSL")


def protocol_of(options: Mapping[str, str]) -> str:
    """The protocol as both libraries spell it."""
    return options.get("security.protocol", "plaintext").upper()


def mechanism_of(options: Mapping[str, str]) -> str:
    """The mechanism of the login, under either of librdkafka's two names; empty if there is none."""
    return options.get("sasl.mechanism", options.get("sasl.mechanisms", "")).upper()


def tls_context(options: Mapping[str, str]) -> ssl.SSLContext:
    """TLS of Python's as librdkafka does it: the broker's certificate and name are checked unless the settings say otherwise."""
    place = options.get("ssl.ca.location")
    folder = place is not None and Path(place).is_dir()
    context = ssl.create_default_context(cafile=None if folder else place, capath=place if folder else None)
    if revoked := options.get("ssl.crl.location"):
        context.load_verify_locations(revoked)
        context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
    if own := options.get("ssl.certificate.location"):
        # An empty password instead of none: a key that needs one must not ask at the terminal.
        context.load_cert_chain(own, options.get("ssl.key.location"), options.get("ssl.key.password", ""))
    if ciphers := options.get("ssl.cipher.suites"):
        context.set_ciphers(ciphers)
    if options.get("ssl.endpoint.identification.algorithm", "https").lower() == "none":
        context.check_hostname = False
    if options.get("enable.ssl.certificate.verification", "true").lower() in _NO:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
