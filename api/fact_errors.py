"""Errors of events that are published as they are."""

from refold.api.errors import ApiError


class FactsAbsent(ApiError):
    """The category takes no events: it declares no facts."""

    code, status = "facts-absent", 404
    remedy = "Send a command, or declare the event among the category's `facts`."
