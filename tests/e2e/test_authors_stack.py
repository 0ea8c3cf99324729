"""The fixture `refold_stack`, as an author uses it: the library of docs/domains.md and the test that stands there, in a folder of their own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_FILE = re.compile(r"^```(?:python|toml)\n# (\S+\.(?:py|toml))\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SHOWN_TWICE = """

def test_it_is_one_stack_and_a_wrong_answer_is_told(refold_stack):
    import pytest
    with pytest.raises(AssertionError, match="library.readers"):
        refold_stack.rows("library.readers", order="nothing")
    with pytest.raises(TypeError, match="int is a command of none of library.copy, library.reader, library.gate"):
        refold_stack.send(1)
    with pytest.raises(AssertionError, match="within 0.1 s"):
        refold_stack.wait_until(lambda: False, 0.1)
    assert [row["reader"] for row in refold_stack.rows("library.readers")] == ["r-9"]
    refold_stack.wait_until(lambda: refold_stack.rows("library.readers", days_late="eq.3"))


def test_events_of_the_gate_are_published_as_they_are(refold_stack):
    import httpx
    event = {"specversion": "1.0", "source": "/gates", "type": "Passed", "subject": "main", "time": "2026-01-02T10:00:00Z"}
    batch = [event | {"id": str(n), "data": {"inwards": n % 3 != 0}} for n in range(300)]
    kind = {"Content-Type": "application/cloudevents-batch+json", "Prefer": "wait=30"}
    with httpx.Client(base_url=refold_stack.api_url, timeout=60) as api:
        first = api.post("/v1/events/library/gate", json=batch, headers=kind).text
        assert first.count('"status":201') == 300
        assert api.post("/v1/events/library/gate", json=batch, headers=kind).text == first
        expected = {"Content-Type": "application/cloudevents+json", "Prefer": "wait=30", "If-Match": '"299"'}
        late = api.post("/v1/events/library/gate", json=batch[1] | {"id": "late"}, headers=expected)
        assert (late.status_code, late.json()["code"], late.json()["version"]) == (412, "version-conflict", 300)
        again = api.post("/v1/events/library/gate", json=batch[1] | {"data": {"inwards": False}}, headers=expected)
        assert (again.status_code, again.json()["code"]) == (422, "command-id-reused")
        stream = api.get("/v1/streams/library/gate/main?limit=1").json()
        assert (stream["version"], stream["events"][0]["type"], stream["events"][0]["actor"]) == (300, "Passed", "/gates")
    refold_stack.wait_until(lambda: refold_stack.rows("library.visits", visitors="eq.200"))


def test_events_in_a_topic_of_others_are_published(refold_stack):
    import os, subprocess, sys
    from confluent_kafka import Producer
    from confluent_kafka.admin import AdminClient, NewTopic
    admin = AdminClient({"bootstrap.servers": refold_stack.kafka})
    admin.create_topics([NewTopic("gates", 1, 1)])["gates"].result()
    said = {"content-type": b"application/json", "ce_specversion": b"1.0", "ce_source": b"/gates", "ce_type": b"Passed"}
    others = Producer({"bootstrap.servers": refold_stack.kafka})
    for n in range(30):
        headers = said | {"ce_id": str(n).encode(), "ce_time": b"2026-03-01T10:00:00Z"}
        others.produce("gates", b'{"inwards": true}' if n else b"wrong", b"side", headers=list(headers.items()))
    assert others.flush(30) == 0
    where = {"REFOLD_KAFKA": refold_stack.kafka, "REFOLD_DATABASE_URL": refold_stack.database_url}
    words = [sys.executable, "-m", "refold.api.cli.app", "publish", "gates", "library.gate", "--once"]
    done = subprocess.run(words, env=os.environ | where, capture_output=True, text=True, timeout=120)
    assert "29 events published, 1 records refused" in done.stdout + done.stderr, done.stderr
    assert done.returncode == 0
    refold_stack.wait_until(lambda: refold_stack.rows("library.visits", day="eq.2026-03-01", visitors="eq.29"))
"""


def run(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("REFOLD_", "PYTEST_"))}
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder, env=environment | {"TMPDIR": str(folder)}, check=False, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


@pytest.mark.e2e
@pytest.mark.timeout(400)
def test_the_library_of_the_page_passes_its_test_on_a_stack(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    for name, text in _FILE.findall((ROOT / "docs/domains.md").read_text(encoding="utf-8")):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    test = tmp_path / "tests/test_running.py"
    test.write_text(test.read_text(encoding="utf-8") + _SHOWN_TWICE, encoding="utf-8")
    frozen = run(tmp_path, "refold.api.cli.app", "schemas", "freeze")
    assert frozen.returncode == 0, frozen.stderr
    done = run(tmp_path, "pytest", "-q", "tests/test_running.py", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout
    assert list(tmp_path.glob("refold-stack-*")) == [], "its folder is removed"
