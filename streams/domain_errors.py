"""Errors of a domain that is begun."""

from refold.schemas.errors import RefoldError


class DomainNameInvalid(RefoldError):
    """A text cannot name a domain."""

    code = "domain-name-invalid"
    remedy = "Name it by lower case letters, digits and _, a letter first, 61 at most, and by no word of Python."


class DomainExists(RefoldError):
    """A new domain would write over files, or hide a module."""

    code = "domain-exists"
    remedy = "Choose another name, or another folder."
