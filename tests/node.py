"""Packages for Node, installed into a temporary folder for tests of other projects' clients and judges; without Node they are skipped."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

_INSTALL_S, _RUN_S = 180, 120


def packages(folder: Path, versions: dict[str, str]) -> Path:
    """A folder with these packages in its `node_modules`; skips the test where they cannot be had."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("Node is not installed")
    (folder / "package.json").write_text(json.dumps({"private": True, "type": "module", "dependencies": versions}))
    install = ["npm", "install", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"]
    try:
        done = subprocess.run(install, cwd=folder, capture_output=True, text=True, check=False, timeout=_INSTALL_S)
    except subprocess.TimeoutExpired:
        pytest.skip("no registry of Node packages answers")
    if done.returncode != 0:
        pytest.skip(f"these packages cannot be installed: {', '.join(versions)}")
    return folder


def run(folder: Path, program: str, *arguments: str) -> str:
    """What a program of a few lines prints; it must end well."""
    (folder / "program.mjs").write_text(program)
    done = subprocess.run(
        ["node", "program.mjs", *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=_RUN_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
