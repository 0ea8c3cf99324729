"""The errors of `refold log void`: reasons not to void a record (docs/log-rules.md explains them)."""

from refold.schemas.errors import RefoldError


class VoidUnknown(RefoldError):
    """The log has no such record. `refold log void` needs a topic of events and an existing partition and offset."""

    code = "void-unknown"
    remedy = "Leave the offset out: `refold log void TOPIC PARTITION` lists the claims that can be taken out."


class VoidNeedless(RefoldError):
    """There is no need to take the record out: it does not count, or the next claim ends its effect."""

    code = "void-needless"
    remedy = "Leave the offset out: `refold log void TOPIC PARTITION` lists the claims that can be taken out."


class VoidEvent(RefoldError):
    """Refold never takes an event or rejection out of count: it has told the outcome, and readers have passed the record."""

    code = "void-event"
    remedy = "Send a command that compensates for it. If code cannot read it, only its stream waits: see `refold schemas log-check` and `refold replay release`."


class VoidPassed(RefoldError):
    """The core has already passed the claim of newer rules, because newer code counts it."""

    code = "void-passed"
    remedy = "Upgrade this command and all processes to the code that knows these rules."


class VoidOtherVersion(RefoldError):
    """A core or handler of another version of Refold is running, and may not know voidings."""

    code = "void-other-version"
    remedy = "Upgrade or stop that process (`refold status` names it), then run the command again."
