"""Building tools once, with tiny Go modules in place of the real ones."""

import fcntl
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from rehearsal.errors import RehearsalError
from rehearsal.paths import CHECKOUT
from rehearsal.toolchain import Toolchain
from rehearsal.toolchain.catalogue import GoModule, GoTool

_PROGRAM = """package main

func main() {{ println("{says}") }}
"""


@pytest.fixture
def module(tmp_path: Path) -> GoModule:
    folder = tmp_path / "module"
    for name in ("hello", "goodbye"):
        (folder / name).mkdir(parents=True)
        (folder / name / "main.go").write_text(_PROGRAM.format(says=name))
    (folder / "go.mod").write_text("module example.test/tools\n\ngo 1.25.0\n")
    (folder / "go.sum").touch()
    return GoModule(folder, seconds=1, disk_gib=0.01)


@pytest.fixture
def tools(module: GoModule) -> dict[str, GoTool]:
    return {name: GoTool(name, "1.2.3", module, f"./{name}", f"says {name}") for name in ("hello", "goodbye")}


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def toolchain(tmp_path: Path, tools: dict[str, GoTool], said: list[str]) -> Toolchain:
    return Toolchain(tmp_path / "cache", said.append, tools)


def _says(program: Path) -> str:
    return subprocess.run([program], capture_output=True, text=True, check=True).stderr.strip()


def _there(tmp_path: Path) -> set[str]:
    return {file.name for file in (tmp_path / "cache" / "bin").iterdir()} - {".lock"}


def _program(folder: Path, name: str, script: str) -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return file


def _first_on_path(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_a_missing_tool_is_built_and_says_what_it_is_for(toolchain: Toolchain, said: list[str]) -> None:
    assert not toolchain.is_built("hello")

    built = toolchain.ensure(["hello"])

    assert _says(built["hello"]) == "hello"
    assert "says hello" in said[0]


def test_tools_of_one_module_are_built_together(toolchain: Toolchain, said: list[str]) -> None:
    toolchain.ensure(["hello", "goodbye"])

    assert [line for line in said if line.startswith("building")] == [said[0]]
    assert _says(toolchain.tool("goodbye")) == "goodbye"


def test_a_built_tool_is_not_built_again(toolchain: Toolchain, said: list[str]) -> None:
    toolchain.ensure(["hello"])
    said.clear()

    toolchain.ensure(["hello"])

    assert said == []


@pytest.mark.parametrize(
    ("file", "changed"), [("hello/main.go", _PROGRAM.format(says="changed")), ("go.mod", "module example.test/other\n")]
)
def test_a_tool_is_built_again_when_what_it_is_made_of_changes(
    toolchain: Toolchain, module: GoModule, file: str, changed: str
) -> None:
    toolchain.ensure(["hello"])

    (module.folder / file).write_text(changed)

    assert not toolchain.is_built("hello")
    toolchain.ensure(["hello"])
    assert toolchain.is_built("hello")


def test_another_tools_source_changes_nothing(toolchain: Toolchain, module: GoModule) -> None:
    toolchain.ensure(["hello"])

    (module.folder / "goodbye" / "main.go").write_text(_PROGRAM.format(says="changed"))

    assert toolchain.is_built("hello")


def test_a_damaged_program_is_found_and_built_again(toolchain: Toolchain) -> None:
    program = toolchain.ensure(["hello"])["hello"]
    program.write_bytes(program.read_bytes()[:-1])

    assert not toolchain.is_built("hello")
    assert _says(toolchain.ensure(["hello"])["hello"]) == "hello"


@pytest.mark.parametrize("stamp", ["", "{", "[]", '"text"'])
def test_a_damaged_stamp_is_as_good_as_none(toolchain: Toolchain, tmp_path: Path, stamp: str) -> None:
    toolchain.ensure(["hello"])

    (tmp_path / "cache" / "bin" / "hello.json").write_text(stamp)

    assert not toolchain.is_built("hello")


def test_a_failed_build_keeps_the_old_program_but_does_not_take_it_for_the_new_one(
    toolchain: Toolchain, module: GoModule, tmp_path: Path
) -> None:
    toolchain.ensure(["hello"])
    (module.folder / "hello" / "main.go").write_text("package main\n\nfunc main() { undefined() }\n")

    with pytest.raises(RehearsalError, match=r"hello could not be built: .*undefined"):
        toolchain.ensure(["hello"])

    assert _there(tmp_path) == {"hello", "hello.json"}
    assert not toolchain.is_built("hello")


def test_a_build_that_is_interrupted_leaves_nothing_half(
    toolchain: Toolchain, module: GoModule, tmp_path: Path
) -> None:
    started = tmp_path / "started"
    slow = _program(
        tmp_path / "slow",
        "go",
        f'[ "$1" = env ] && echo go1.99.0 && exit\n'
        f'while [ "$1" != -o ]; do shift; done; echo half > "$2/hello"; touch {started}; exec sleep 600',
    )
    code = (
        # A run in the background inherits that Ctrl-C is ignored; a user's terminal does not ignore it.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from pathlib import Path; from rehearsal.toolchain import Toolchain;"
        "from rehearsal.toolchain.catalogue import GoModule, GoTool;"
        f"module = GoModule(Path({str(module.folder)!r}), 1, 0.01);"
        f"Toolchain(Path({str(tmp_path / 'cache')!r}), print, {{'hello': GoTool('hello', '1', module, './hello', '')}})"
        ".ensure(['hello'])"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=CHECKOUT,
        env={**os.environ, "PATH": f"{slow.parent}{os.pathsep}{os.environ['PATH']}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as building:
        while not started.exists():
            time.sleep(0.02)
        building.send_signal(signal.SIGINT)
        building.wait()

    assert _there(tmp_path) == set()
    assert _says(toolchain.ensure(["hello"])["hello"]) == "hello"


def test_what_a_killed_build_left_is_no_hindrance(toolchain: Toolchain, tmp_path: Path) -> None:
    left = tmp_path / "cache" / "bin" / ".building" / "out"
    left.mkdir(parents=True)
    (left / "hello").write_text("half")

    toolchain.ensure(["hello"])

    assert _says(toolchain.tool("hello")) == "hello"
    assert _there(tmp_path) == {"hello", "hello.json"}


def test_two_rehearsals_build_one_after_the_other(toolchain: Toolchain, said: list[str], tmp_path: Path) -> None:
    (tmp_path / "cache" / "bin").mkdir(parents=True)
    with (tmp_path / "cache" / "bin" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        other = threading.Thread(target=toolchain.ensure, args=(["hello"],))
        other.start()
        while not said:
            time.sleep(0.02)
        assert "waiting for another rehearsal" in said[0]
        assert not toolchain.is_built("hello")
    other.join()
    assert toolchain.is_built("hello")


def test_without_go_there_is_a_sentence(toolchain: Toolchain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(RehearsalError, match=r"Go is missing.*Install Go 1\.25\.0 or newer"):
        toolchain.ensure(["hello"])


def test_go_that_is_too_old_is_told_apart(
    toolchain: Toolchain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _first_on_path(monkeypatch, _program(tmp_path / "old", "go", "echo go1.19.8").parent)

    with pytest.raises(RehearsalError, match=r"go1\.19\.8 is too old.*Install Go 1\.25\.0"):
        toolchain.ensure(["hello"])


def test_a_full_disk_is_told_before_the_build(tmp_path: Path, tools: dict[str, GoTool], module: GoModule) -> None:
    large = replace(tools["hello"], module=replace(module, disk_gib=1e9))

    with pytest.raises(RehearsalError, match=r"GiB of disk are free.*SLM_CACHE"):
        Toolchain(tmp_path / "cache", print, {"hello": large}).ensure(["hello"])


@pytest.mark.parametrize(
    ("printed", "cause"),
    [
        ("Get https://proxy.invalid/x: dial tcp: lookup proxy.invalid: no such host", "proxy cannot be reached"),
        ("write /tmp/x: no space left on device", "the disk is full"),
        ("verifying module: checksum mismatch", "not what go.sum says"),
        ("main.go:1: something else", "something else"),
    ],
)
def test_what_go_could_not_do_is_said_in_a_sentence(
    toolchain: Toolchain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, printed: str, cause: str
) -> None:
    script = f'[ "$1" = env ] && echo go1.99.0 && exit\necho "{printed}" >&2; exit 1'
    _first_on_path(monkeypatch, _program(tmp_path / "broken", "go", script).parent)

    with pytest.raises(RehearsalError, match=f"hello could not be built: .*{cause}"):
        toolchain.ensure(["hello"])


@pytest.mark.parametrize(
    ("version", "is_used"), [("v1.2.0", True), ("v1.10.0", True), ("v1.1.9", False), ("v2.0.0", False), ("", False)]
)
def test_a_newer_one_on_path_is_used_where_that_is_allowed(
    tmp_path: Path, tools: dict[str, GoTool], monkeypatch: pytest.MonkeyPatch, version: str, is_used: bool
) -> None:
    theirs = _program(tmp_path / "theirs", "hello", f"echo {version}")
    _first_on_path(monkeypatch, theirs.parent)
    newer = replace(tools["hello"], accept_newer=True)

    found = Toolchain(tmp_path / "cache", print, {"hello": newer}).ensure(["hello"])["hello"]

    assert (found == theirs) is is_used
    assert Toolchain(tmp_path / "other", print, tools).tool("hello") != theirs
