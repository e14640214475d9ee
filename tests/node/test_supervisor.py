"""The supervisor starts services in order, starts dead ones again, and tells what it knows."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rehearsal.node.services import Plan, Service

# Without the namespaces: the same loop over the same plan, in a process of its own because it reaps all its children.
PROGRAM = """
import sys
from pathlib import Path
from rehearsal.node.services import Plan
from rehearsal.node.supervisor import Supervisor
Supervisor(Plan.from_json(Path(sys.argv[1]).read_text())).run()
"""


@contextmanager
def supervised(folder: Path, *services: Service) -> Generator[int]:
    (folder / "logs").mkdir()
    file = folder / "plan.json"
    file.write_text(Plan("node", folder, "none", {}, services).to_json())
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(file)], cwd=Path(__file__).parents[2])
    try:
        yield process.pid
    finally:
        for row in status(folder).values():
            if row["pid"]:
                os.kill(row["pid"], signal.SIGKILL)
        process.terminate()
        process.wait()


def status(folder: Path) -> dict[str, Any]:
    file = folder / "status.json"
    return json.loads(file.read_text()) if file.exists() else {}


def eventually(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.02)


def test_a_service_waits_until_what_it_needs_is_done(tmp_path: Path) -> None:
    first = Service("first", ("sh", "-c", f"sleep 0.3; touch {tmp_path}/made"), ready="done")
    second = Service("second", ("sh", "-c", f"test -e {tmp_path}/made && sleep 60"), needs=("first",))
    with supervised(tmp_path, second, first):
        eventually(lambda: status(tmp_path).get("second", {}).get("state") == "ready")
        assert status(tmp_path)["first"]["state"] == "done"
        assert status(tmp_path)["second"]["restarts"] == 0


def test_a_killed_service_is_started_again(tmp_path: Path) -> None:
    with supervised(tmp_path, Service("worker", ("sleep", "60"))):
        eventually(lambda: status(tmp_path).get("worker", {}).get("state") == "ready")
        killed = status(tmp_path)["worker"]["pid"]
        os.kill(killed, signal.SIGKILL)
        eventually(lambda: status(tmp_path)["worker"]["pid"] not in (killed, None))
        assert status(tmp_path)["worker"]["last_exit"] == -signal.SIGKILL
        assert status(tmp_path)["worker"]["restarts"] == 1


def test_a_job_that_fails_is_tried_again_until_it_is_done(tmp_path: Path) -> None:
    script = f"echo x >> {tmp_path}/tries; test $(wc -l < {tmp_path}/tries) -ge 3"
    with supervised(tmp_path, Service("job", ("sh", "-c", script), ready="done")):
        eventually(lambda: status(tmp_path).get("job", {}).get("state") == "done")
        assert status(tmp_path)["job"]["restarts"] == 2


def test_a_program_that_is_not_there_does_not_end_the_others(tmp_path: Path) -> None:
    with supervised(tmp_path, Service("ghost", ("/no/such/program",)), Service("worker", ("sleep", "60"))):
        eventually(lambda: status(tmp_path).get("ghost", {}).get("restarts", 0) >= 2)
        assert status(tmp_path)["worker"]["state"] == "ready"
