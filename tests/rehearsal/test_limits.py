"""The page of what is not checked says what the stand-ins say, and every stand-in says something."""

from pathlib import Path

import pytest

from rehearsal.limits import page

CHECKOUT = Path(__file__).parents[2]


def test_the_page_is_up_to_date() -> None:
    written = (CHECKOUT / "docs/rehearsal.md").read_text()
    assert written == page(CHECKOUT / "rehearsal"), "run: python -m rehearsal.limits > docs/rehearsal.md"


@pytest.mark.parametrize(
    "part",
    [
        "azure/emulator",
        "azure/provider",
        "control/cloud_controller",
        "control/addons",
        "fixture/hub",
        "front",
        "kubernetes/provider",
        "language/host",
        "node/csi",
        "node/images",
        "node/configuration",
    ],
)
def test_every_stand_in_says_what_it_does_not_check(part: str) -> None:
    assert f"## `rehearsal/{part}" in page(CHECKOUT / "rehearsal")
