"""Push over HTTP: what changed in a read model, as Server-Sent Events that go on after a break without hole or double."""
