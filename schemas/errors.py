"""What can go wrong, as classes with a stable code: every error of Refold is a `RefoldError`."""


class RefoldError(Exception):
    """An error with a stable code, one sentence that says what happened, and one that says what to do."""

    code = "refold-error"
    remedy = ""

    def __init__(self, message: str, remedy: str | None = None) -> None:
        """Keep the message; a remedy given here replaces the class's own."""
        super().__init__(message)
        self.message = message
        if remedy is not None:
            self.remedy = remedy
