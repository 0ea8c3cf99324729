"""The table `todo.lists`: how many tasks each list has, and how many are done."""

from refold.projections import Rollup, events, key
from todo.schemas import TASK, TaskAdded, TaskDone

LISTS = Rollup(
    name="lists",
    description="One row for each list.",
    key={"list": key("list")},
    columns={
        "tasks": events(TASK, TaskAdded).count("Tasks ever added."),
        "done": events(TASK, TaskDone).count("Tasks ticked off."),
    },
)
READ_MODELS = (LISTS,)
