"""One rehearsal, from nothing to an answer and back: what is started in which order, and how it is found again.

Owns the state folder's `session.json` and the lock that keeps two commands from working at once. Does not own how a
part works: the engine, the emulator, the node and the control plane each have a module of their own.
"""

import fcntl
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import Any

import httpx

from rehearsal.cluster import Cluster, cluster_for
from rehearsal.console import Steps
from rehearsal.engine import Engine
from rehearsal.errors import RehearsalError
from rehearsal.language.launchers import write_launchers
from rehearsal.processes import Processes
from rehearsal.toolchain import CONTROL, ENGINE, NODE, Toolchain

EXAMPLE = (
    "A train travels 240 km in 3 hours. If it increases its speed by 20 km/h, how long would the same journey take?"
)
FREE_GIB = {"full": 6, "control": 3}
"""Disk that a first run needs, measured: Go's caches, the toolchain's binaries, images and their build layers."""


class Depth(StrEnum):
    """How much of the cluster is real."""

    full = "full"
    control = "control"
