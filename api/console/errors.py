"""Errors of the console."""

from refold.api.errors import ApiError


class ConsoleExtraMissing(ApiError):
    """The pages at `/console` need a package that is not installed."""

    code, status = "console-extra-missing", 501
    remedy = "Install Refold with the extra `console` where the API runs: pip install 'refold[console]'."
