"""Errors of reads that ask for more than rows: refusals of a stream of changes before it begins."""

from refold.api.errors import ApiError


class ChangesOfView(ApiError):
    """A declared SQL view has no stream of changes: which of its rows an event changes cannot be derived."""

    code, status = "changes-of-view", 422
    remedy = "Follow the changes of the read models that the message names, and read the view again when they come."
