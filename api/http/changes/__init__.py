"""Push over HTTP: changes of a read model as Server-Sent Events, which go on after a break without hole or double."""
