"""The outside: HTTP in `http/`, the `refold` command in `cli/`, the demonstration in `demo/`."""
