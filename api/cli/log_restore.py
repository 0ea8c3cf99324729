"""The command `refold log restore`: shows its plan by default, acts with --execute."""

import time
from pathlib import Path
from typing import Any

from refold.api.cli import exits
from refold.api.cli.log_dump import on_files
from refold.api.cli.output import print_json, print_table, say
from refold.api.cli.replay import reported
from refold.api.embedded.servers import connected
from refold.schemas.plurals import counted
from refold.streams.operation.dump.restore import Restore, RestorePlan
from refold.streams.settings import Settings


def restore(folder: Path, *, execute: bool = False, replace: bool = False, json: bool = False) -> int:
    """Put a dump of the log back into Kafka, each record at its old offset. Stop all workers and APIs before.

    Args:
        folder: the folder of `refold log dump`.
        execute: do it, instead of only printing the plan.
        replace: delete topics that hold records first.
        json: print one JSON document.
    """
    began = time.perf_counter()
    with on_files(folder):
        restoring = Restore(connected(Settings.load()), folder)
        plan = restoring.plan(replace=replace)
        if execute:
            with reported("restore") as progress:
                restoring.execute(plan, progress)
    _show(plan, json=json, executed=execute, seconds=time.perf_counter() - began)
    return exits.DONE


def _show(plan: RestorePlan, *, json: bool, executed: bool, seconds: float) -> None:
    rows: list[dict[str, Any]] = [
        {
            "topic": topic,
            "there": str(found.state),
            "records there": found.records,
            "records dumped": plan.dumped[topic],
            "deleted first": topic in plan.deleted,
        }
        for topic, found in plan.topics.items()
    ]
    if json:
        print_json(
            {
                "restored": executed,
                "cut_at": plan.manifest.cut_at,
                "records": plan.manifest.records,
                "topics": rows,
                "seconds": round(seconds, 2),
            }
        )
        return
    print_table(rows)
    if executed:
        say(
            f"Restored: {counted(plan.manifest.records, 'records')}, read back and found equal, in {seconds:,.1f} s. Start the workers and the API."
        )
    else:
        say(
            f"Would put {counted(plan.manifest.records, 'records')} back. Stop every worker and API first. Add --execute to do it."
        )
