"""The rules: a task is added once, and ticked off once."""

import msgspec

from refold.streams import Decider, Decision, Rejected
from todo.schemas import TASK, AddTask, TaskAdded, TaskDone, TickTask


class Task(msgspec.Struct, frozen=True):
    """The state that the rules need."""

    list: str | None = None
    done: bool = False


def decide(command: AddTask | TickTask, task: Task) -> Decision:
    """Decides one command on the task's state: an event, or a rejection."""
    if isinstance(command, AddTask):
        return (
            Rejected("task-exists", "add it once") if task.list else TaskAdded(list=command.list, title=command.title)
        )
    if task.list is None or task.done:
        return Rejected("task-not-open", "only an open task can be ticked off")
    return TaskDone(list=task.list)


def evolve(_: Task, event: TaskAdded | TaskDone) -> Task:
    """Fold one event into the task."""
    return Task(event.list, done=isinstance(event, TaskDone))


DECIDERS = (Decider(TASK, Task(), decide, evolve),)
