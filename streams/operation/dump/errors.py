"""The errors of dumping and restoring the log, apart from those of its servers (docs/errors.md lists every code)."""

from refold.schemas.errors import RefoldError


class DumpUnsound(RefoldError):
    """A folder that holds no whole dump of the log, or bytes that are not those that were dumped; the message names the place."""

    code = "dump-unsound"
    remedy = (
        "Take another copy of the dump. A dump that was broken off goes on with `refold log dump` into the same folder."
    )


class DumpOfAnother(RefoldError):
    """The folder holds a dump of another log, or of this one before it lost records."""

    code = "dump-of-another-log"
    remedy = "Dump into another folder."


class DumpInUse(RefoldError):
    """Another process dumps into the folder."""

    code = "dump-in-use"
    remedy = "Wait until it has ended."


class LogNotEmpty(RefoldError):
    """A topic into which a log is to be restored holds records that are not the dump's."""

    code = "log-not-empty"
    remedy = "Restore under another REFOLD_TOPIC_PREFIX or into another Kafka, or add --replace, which deletes the topics that are there."


class LogInUse(RefoldError):
    """Processes of Refold, or others, work on the log that is to be restored."""

    code = "log-in-use"
    remedy = "Stop every worker and every API on this log, and run the command again."


class LogDiffers(RefoldError):
    """What was restored, read back, is not what the dump holds; the message names the first record that differs."""

    code = "log-differs"
    remedy = "Stop whoever else writes to these topics, and restore again with --replace."
