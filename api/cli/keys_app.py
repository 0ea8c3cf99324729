"""The subcommands of `refold keys` and their help."""

from cyclopts import App

keys = App(name="keys", help="Create, list, rotate and revoke the keys of the API.")
keys.command(
    "refold.api.cli.keys:create",
    name="create",
    help="""Create a key with a role, and print it once.

    Without --execute it only says what it would do. Each change of a key is an event in the log, with who did it.

    Example: refold keys create till-7 --role producer --expires 90d --execute""",
)
keys.command(
    "refold.api.cli.keys:list_",
    name="list",
    help="""List the keys: who holds them, their roles, and whether they are taken. Secrets are nowhere.

    Example: refold keys list --json""",
)
keys.command(
    "refold.api.cli.keys:rotate",
    name="rotate",
    help="""Give a key another secret, and print it once; for a while the old one is taken as well.

    Example: refold keys rotate k3xq7m2avd5w --keep-old 1h --execute""",
)
keys.command(
    "refold.api.cli.keys:revoke",
    name="revoke",
    help="""Take a key back for good. The API refuses it a second later, and breaks off its long answers.

    Example: refold keys revoke k3xq7m2avd5w --execute""",
)
