"""What the engine is run with, and what is made of what it says."""

from pathlib import Path

from rehearsal.engine import Engine, first_error


def test_nothing_of_the_engines_goes_to_the_users_own_folders(tmp_path: Path) -> None:
    engine = Engine(pulumi=Path("pulumi"), folder=tmp_path, checkout=tmp_path, stack="dev", environment={})
    for name in ("PULUMI_HOME", "PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE_FILE"):
        assert str(tmp_path) in engine.variables[name]


def test_the_first_error_is_what_the_user_reads() -> None:
    said = ["Updating (dev):", "    error: the quota is used up", "    error: update failed"]
    assert first_error(said) == "the quota is used up"


def test_an_engine_that_says_nothing_is_said_so() -> None:
    assert first_error(["", "  "]) == "it printed nothing"
