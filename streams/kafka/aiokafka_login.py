"""Gives aiokafka, which reads whole batches, the same login as librdkafka has."""

from typing import Any

from refold.streams.kafka.oauth import ClientCredentials
from refold.streams.kafka_login import mechanism_of, options_of, protocol_of, tls_context


def of_aiokafka(servers: str) -> dict[str, Any]:
    """The same login by aiokafka's names. Raises OSError for a file that cannot be read or used."""
    options = options_of(servers)
    protocol = protocol_of(options)
    given: dict[str, Any] = {"security_protocol": protocol}
    if protocol.endswith("SSL"):
        given["ssl_context"] = tls_context(options)
    if protocol.startswith("SASL_"):
        given["sasl_mechanism"] = mechanism = mechanism_of(options)
        if mechanism == "OAUTHBEARER":
            given["sasl_oauth_token_provider"] = ClientCredentials(options)
        else:
            given["sasl_plain_username"] = options["sasl.username"]
            given["sasl_plain_password"] = options["sasl.password"]
    return given
