"""Why the retail domain rejected commands, gathered from the rejections that the log holds beside the events."""

from refold.projections import CATEGORY, OCCURRED_AT, Rollup, day, key, rejections
from refold.retail.schemas.basket import BASKET
from refold.retail.schemas.household import HOUSEHOLD
from refold.retail.schemas.product import PRODUCT

refused = rejections(BASKET) | rejections(HOUSEHOLD) | rejections(PRODUCT)

REJECTIONS = Rollup(
    name="rejections",
    domain="retail",
    description="One row for each category, type of command, reason and day (UTC) of rejected commands.",
    key={
        "category": key(CATEGORY, "Category of the command."),
        "command": key("command", "Name of the command; unknown if it could not be read."),
        "code": key("code", "Stable code of the reason."),
        "day": key(day(OCCURRED_AT), "Day (UTC) of the command."),
    },
    columns={
        "commands": refused.count("Commands rejected; a retry of one counts once."),
        "last_at": refused.max(OCCURRED_AT, "When the last of them occurred."),
        "last_message": refused.last("message", "The sentence with which the last of them was rejected."),
    },
)
