"""Where a rehearsal keeps its things. Everything else is given its folders as arguments."""

import os
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
"""The checkout that this code runs from; a rehearsal writes nothing into it but the state folder."""


def cache_dir() -> Path:
    """What is built once for each machine: `$SLM_CACHE`, else `slm` in the user's cache folder."""
    if given := os.environ.get("SLM_CACHE"):
        return Path(given).resolve()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "slm"


def state_dir() -> Path:
    """What belongs to this checkout's rehearsal: `$SLM_REHEARSAL_DIR`, else `.rehearsal` in the checkout."""
    return Path(os.environ.get("SLM_REHEARSAL_DIR") or CHECKOUT / ".rehearsal").resolve()
