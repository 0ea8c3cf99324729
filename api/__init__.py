"""The outer side of Refold: HTTP in `http/`, the `refold` command in `cli/`, the demonstration in `demo/`."""
