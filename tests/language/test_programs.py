"""Programs as the engine runs them: their outputs, and their failures told once."""

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.language.conftest import Preview

pytestmark = pytest.mark.engine


def test_a_programs_outputs_and_prints_are_shown(preview: Preview) -> None:
    done = preview('import pulumi\nprint("hello from the program")\npulumi.export("answer", 42)\n')

    assert done.returncode == 0, done.stdout
    assert "hello from the program" in done.stdout
    assert "answer: 42" in done.stdout


def test_a_run_error_is_one_sentence(preview: Preview) -> None:
    done = preview('import pulumi\nraise pulumi.RunError("The settings have no servers. Name one.")\n')

    assert done.returncode != 0
    assert "error: The settings have no servers. Name one." in done.stdout
    assert "Traceback" not in done.stdout


def test_an_exception_is_shown_once_from_the_programs_own_line_on(preview: Preview) -> None:
    done = preview("def deep():\n    raise KeyError('lost')\n\ndeep()\n")

    assert done.returncode != 0
    diagnostics = done.stdout.split("Diagnostics:", 1)[1]
    assert diagnostics.count("KeyError: 'lost'") == 1
    assert diagnostics.count("Traceback (most recent call last):") == 1
    assert "line 4, in <module>" in diagnostics
    assert "runpy" not in diagnostics
    assert "rehearsal" not in diagnostics.replace(str(Path(sys.prefix).parent), "")


def test_an_exit_status_is_told(preview: Preview) -> None:
    done = preview("import sys\nsys.exit(7)\n")

    assert done.returncode != 0
    assert "non-zero exit code: 7" in done.stdout


def test_a_failure_inside_an_output_fails_the_program(preview: Preview) -> None:
    done = preview("import pulumi\npulumi.Output.from_input(1).apply(lambda one: one / 0)\n")

    assert done.returncode != 0
    assert "ZeroDivisionError" in done.stdout


def test_a_program_in_another_environment_runs_with_its_interpreter(preview: Preview, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "tests.pth").write_text(sysconfig.get_path("purelib"))

    done = preview(
        'import sys\nimport pulumi\npulumi.export("prefix", sys.prefix)\n',
        project=f"name: test\nruntime:\n  name: python\n  options:\n    virtualenv: {folder}\n",
    )

    assert done.returncode == 0, done.stdout
    assert f'prefix: "{folder}"' in done.stdout


def test_a_policy_pack_is_run_by_the_host(preview: Preview, tmp_path: Path) -> None:
    pack = tmp_path / "pack"
    pack.mkdir()
    (pack / "PulumiPolicy.yaml").write_text("runtime: python\nversion: 1.0.0\n")
    (pack / "__main__.py").write_text(
        "from pulumi_policy import EnforcementLevel, PolicyPack, StackValidationPolicy\n"
        "def never(args, report):\n    report('this stack may not be')\n"
        "PolicyPack('strict', enforcement_level=EnforcementLevel.MANDATORY, policies=[\n"
        "    StackValidationPolicy(name='never', description='no stack', validate=never)])\n"
    )

    done = preview("import pulumi\npulumi.export('a', 1)\n", "--policy-pack", str(pack))

    assert done.returncode != 0
    assert "this stack may not be" in done.stdout
