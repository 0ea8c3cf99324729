"""Programs of others that believe the description: schemathesis judges it, and clients are generated from it.

Each is installed into a folder of its own, and the test is skipped where that cannot be done. Only `make test-chaos` has the time.
"""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Running
from tests.e2e.results import note
from tests.node import packages

JUDGES = bool(os.environ.get("JUDGES"))
FOLDER, ROOT = Path(__file__).parent, Path(__file__).parent.parent.parent
pytestmark = [
    pytest.mark.usefixtures("servers"),
    pytest.mark.timeout(1200),
    pytest.mark.skipif(not JUDGES, reason="only make test-chaos has the time to install and run these"),
]
_INSTALL_S, _RUN_S, _JUDGE_S = 180, 60, 900
PROGRAM = """
import json
import sys
import uuid

from client import Client
from client.api.retail import retail_store_daily, retail_store_daily_row
from client.api.retail_basket import retail_basket_open_basket, retail_basket_stream
from client.models import OpenBasket

api = Client(base_url=sys.argv[1])
asked = {"store_id": "in.(901,902,903,904,905)", "order": "store_id.asc", "limit": 3}
page = retail_store_daily.sync_detailed(client=api, **asked)
rest = retail_store_daily.sync_detailed(client=api, **asked, cursor=page.headers["Refold-Cursor"])
row = retail_store_daily_row.sync(f"901,{page.parsed[0].day}", client=api)
absent = retail_store_daily_row.sync_detailed("900,2020-01-01", client=api)
name = f"g-{uuid.uuid4().hex[:12]}"
sent = retail_basket_open_basket.sync(
    client=api, body=OpenBasket(basket_id=name, store_id=1), idempotency_key=name, prefer="wait=20"
)
stream = retail_basket_stream.sync(name, client=api)
print(
    json.dumps(
        {
            "page": [one.store_id for one in page.parsed],
            "rest": [one.store_id for one in rest.parsed],
            "row": {"store_id": row.store_id, "revenue": row.revenue, "lines": row.lines},
            "absent": [int(absent.status_code), absent.parsed.code],
            "sent": [sent.stream, sent.version, f"{sent.events} event"],
            "stream": stream.version,
        }
    )
)
"""


@pytest.fixture(scope="module")
def api(running: Running) -> str:
    """The address of an API with a row for each of five stores."""
    url = running.stack.api_url
    with httpx.Client(base_url=url, timeout=30, headers={"Prefer": "wait=20"}) as client:
        for store in range(901, 906):
            basket = f"d-{uuid.uuid4().hex[:12]}"
            line = {"basket_id": basket, "product_id": 5, "quantity": 2, "amount": "3.30", "discount": "0.20"}
            for command, body in (("OpenBasket", {"basket_id": basket, "store_id": store}), ("ScanItem", line)):
                headers = {"Idempotency-Key": uuid.uuid4().hex}
                answer = client.post(f"/v1/commands/retail/basket/{command}", json=body, headers=headers)
                assert answer.status_code == 201, answer.text
            fresh = {"Refold-Min-Position": answer.headers["refold-position"]}
            assert client.get(f"/v1/retail/store_daily?store_id=eq.{store}", headers=fresh).status_code == 200
    return url


def test_schemathesis_finds_nothing(api: str, tmp_path: Path) -> None:
    """Every operation but the streams of changes, which never end: each border of each parameter, then fifty random requests."""
    judge = installed(tmp_path, "schemathesis>=4.32,<5") / "st"
    ran = [str(judge), "--config-file", "tests/e2e/schemathesis.toml", "run", f"{api}/openapi.json", "--no-color"]
    asked = ["--phases", "coverage,fuzzing", "--max-examples", "50", "--seed", "1"]
    done = subprocess.run([*ran, *asked], cwd=ROOT, capture_output=True, text=True, check=False, timeout=_JUDGE_S)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    (cases,) = [line for line in done.stdout.splitlines() if "generated, " in line]
    note("schemathesis", cases=int(cases.split()[0]))


def test_a_python_client_that_is_generated_reads_a_row_of_two_key_columns_and_a_page(api: str, tmp_path: Path) -> None:
    tools = installed(tmp_path, "openapi-python-client>=0.26", "ruff")
    described(api, tmp_path)
    made = run(
        [
            str(tools / "openapi-python-client"),
            "generate",
            "--path",
            "openapi.json",
            "--output-path",
            "client",
            "--meta",
            "none",
        ],
        tmp_path,
        PATH=f"{tools}:{os.environ['PATH']}",
    )
    left_out = [line for line in made.splitlines() if "will not be generated" in line]
    assert left_out == ["WARNING parsing POST /v1/commands within commands. Endpoint will not be generated."], made
    (tmp_path / "program.py").write_text(PROGRAM)
    expect(last_line(run([str(tools / "python"), "program.py", api], tmp_path)))


def test_a_typescript_client_that_is_generated_reads_a_row_of_two_key_columns_and_a_page(
    api: str, tmp_path: Path
) -> None:
    versions = {"openapi-typescript": "^7", "openapi-fetch": "^0.14", "typescript": "^5.9", "@types/node": "^20"}
    folder = packages(tmp_path, versions)
    described(api, folder)
    tools = folder / "node_modules/.bin"
    run([str(tools / "openapi-typescript"), "openapi.json", "-o", "api.d.ts"], folder)
    (folder / "program.ts").write_text((FOLDER / "generated_client.ts").read_text())
    run(
        [str(tools / "tsc"), "--strict", "--target", "es2022", "--module", "nodenext", "--skipLibCheck", "program.ts"],
        folder,
    )
    expect(last_line(run(["node", "program.js", api], folder)))


def installed(folder: Path, *names: str) -> Path:
    """The programs of an environment with these packages; skips the test where they cannot be had."""
    home = folder / "judge"
    subprocess.run([sys.executable, "-m", "venv", home], check=True, timeout=_INSTALL_S)
    pip = [str(home / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *names]
    try:
        done = subprocess.run(pip, capture_output=True, text=True, check=False, timeout=_INSTALL_S)
    except subprocess.TimeoutExpired:
        pytest.skip("no package index answers")
    if done.returncode != 0:
        pytest.skip(f"these packages cannot be installed: {', '.join(names)}")
    return home / "bin"


def described(api: str, folder: Path) -> None:
    (folder / "openapi.json").write_text(httpx.get(f"{api}/openapi.json", timeout=30).text)


def run(command: Sequence[str], folder: Path, **environment: str) -> str:
    """What a command prints, its warnings first; it must end well."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=_RUN_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stderr + done.stdout


def last_line(printed: str) -> dict[str, Any]:
    """The answers that a program prints."""
    answers: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return answers


def expect(answers: dict[str, Any]) -> None:
    """What both programs print."""
    assert answers["page"] == [901, 902, 903]
    assert answers["rest"] == [904, 905]
    assert answers["row"] == {"store_id": 901, "revenue": "3.30", "lines": 1}
    assert answers["absent"] == [404, "row-absent"]
    assert answers["sent"][1:] == [1, "1 event"]
    assert answers["stream"] == 1
