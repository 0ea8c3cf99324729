"""Identifies the code that a process runs: each domain's file, and a fingerprint of everything in its package."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from refold.streams.domain import domain_module, package_of

_DIGITS = 12


@dataclass(frozen=True)
class Code:
    """One process's code of a domain. `fingerprint`: 12 hex digits; equal for equal files, wherever they lie."""

    domain: str
    file: str
    fingerprint: str


def running_code(domains: Sequence[str]) -> list[Code]:
    """The code of each domain, as it is on disk now; to be called when a process starts. Raises UnknownDomain."""
    return [_code(name) for name in domains]


def _code(domain: str) -> Code:
    file = domain_module(domain, "schemas").__file__ or domain
    digest = hashlib.sha256()
    for name, content in sorted(_files(domain)):
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return Code(domain, file, digest.hexdigest()[:_DIGITS])


def _files(domain: str) -> Iterator[tuple[str, bytes]]:
    """The domain's Python files and released schemas: path within the domain, and content."""
    spec = find_spec(package_of(domain))
    if spec is None:
        return
    if spec.submodule_search_locations is None:
        if spec.origin and Path(spec.origin).is_file():
            yield spec.name, Path(spec.origin).read_bytes()
        return
    for folder in map(Path, spec.submodule_search_locations):
        for path in folder.rglob("*"):
            if path.suffix in {".py", ".avsc"} and path.is_file():
                yield f"{spec.name}/{path.relative_to(folder).as_posix()}", path.read_bytes()
