"""The errors of `refold log void`: reasons not to void a record (docs/log-rules.md explains them)."""

from refold.schemas.errors import RefoldError


class VoidUnknown(RefoldError):
    """The log has no such record: `refold log void` needs a topic of events, a partition and an offset that are there."""

    code = "void-unknown"
    remedy = "Leave the offset out: `refold log void TOPIC PARTITION` says what can be taken out there."


class VoidNeedless(RefoldError):
    """Nothing has to be taken out: the record does not count, or the next claim ends it."""

    code = "void-needless"
    remedy = "Leave the offset out: `refold log void TOPIC PARTITION` says what can be taken out there."


class VoidEvent(RefoldError):
    """An event or rejection is never taken out of count: its outcome was told, and readers have passed it."""

    code = "void-event"
    remedy = "Send a command that makes up for it. Where code cannot read it, its stream alone waits: `refold schemas log-check`, `refold replay release`."


class VoidPassed(RefoldError):
    """The core has passed the claim of newer rules: newer code counts it."""

    code = "void-passed"
    remedy = "Upgrade this command and all processes to the code that knows these rules."


class VoidOtherVersion(RefoldError):
    """A core or handler of another version of Refold runs, and may not know what a voiding is."""

    code = "void-other-version"
    remedy = "Upgrade or stop that process (`refold status` names it), then do it again."
