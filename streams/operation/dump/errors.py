"""The errors of dumping and restoring the log, apart from those of its servers (docs/errors.md lists every code)."""

from refold.schemas.errors import RefoldError


class DumpUnsound(RefoldError):
    """The folder does not hold a whole dump of the log, or bytes of the dump have changed; the message names the place."""

    code = "dump-unsound"
    remedy = "Use another copy of the dump. To continue an interrupted dump, run `refold log dump` into the same folder again."


class DumpOfAnother(RefoldError):
    """The folder holds a dump of another log, or of this one before it lost records."""

    code = "dump-of-another-log"
    remedy = "Dump into another folder."


class FolderNotEmpty(RefoldError):
    """The folder for a dump holds files that are no dump."""

    code = "folder-not-empty"
    remedy = "Dump into a new or an empty folder."


class DumpInUse(RefoldError):
    """Another process is dumping into the folder."""

    code = "dump-in-use"
    remedy = "Wait until it ends."


class LogNotEmpty(RefoldError):
    """A topic to be restored already holds records that are not in the dump."""

    code = "log-not-empty"
    remedy = "Restore under another REFOLD_TOPIC_PREFIX or into another Kafka, or add --replace, which first deletes those topics."


class LogInUse(RefoldError):
    """Processes of Refold, or other programs, still use the log that you want to restore."""

    code = "log-in-use"
    remedy = "Stop every worker and every API on this log, and run the command again."


class LogDiffers(RefoldError):
    """The restored log differs from the dump; the message names the first record that differs."""

    code = "log-differs"
    remedy = "Stop every other program that writes to these topics, and restore again with --replace."
