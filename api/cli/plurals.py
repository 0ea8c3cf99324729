"""Numbers with their nouns, as the commands print them."""

from refold.schemas.plurals import counted as counted  # noqa: PLC0414 - the commands import it from here
