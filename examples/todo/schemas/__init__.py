"""The contracts of a task: its commands and its events."""

from typing import Annotated

from msgspec import Meta

from refold.schemas import Category, Command, Event

TaskId = Annotated[str, Meta(description="Name of the task; the stream's id.")]
ListName = Annotated[str, Meta(description="The list that the task is on.", max_length=40)]
Title = Annotated[str, Meta(description="What is to be done.", max_length=200)]


class AddTask(Command):
    """Put a task on a list."""

    stream_field = "task_id"
    task_id: TaskId
    list: ListName
    title: Title


class TickTask(Command):
    """Say that a task is done."""

    stream_field = "task_id"
    task_id: TaskId


class TaskAdded(Event):
    """A task was put on a list."""

    list: ListName
    title: Title


class TaskDone(Event):
    """A task was ticked off."""

    list: ListName


TASK = Category("todo.task", commands=(AddTask, TickTask), events=(TaskAdded, TaskDone))
CATEGORIES = (TASK,)
