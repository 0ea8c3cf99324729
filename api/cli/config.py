"""`refold config show`."""

from refold.api.cli.output import print_json, print_table
from refold.streams.settings import Settings


def show(*, json: bool = False) -> None:
    """Print the settings.

    Args:
        json: print one JSON document.
    """
    settings, origins = Settings.load_with_origins()
    shown = settings.model_dump(mode="json")
    rows = [
        {"setting": name, "value": shown[name], "origin": origins[name], "meaning": field.description}
        for name, field in Settings.model_fields.items()
    ]
    if json:
        print_json(rows)
    else:
        print_table(rows)
