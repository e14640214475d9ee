"""The pinned tools of a rehearsal: found or built once for each machine."""

from rehearsal.toolchain.build import Toolchain
from rehearsal.toolchain.catalogue import CONTROL, ENGINE, NODE

__all__ = ["CONTROL", "ENGINE", "NODE", "Toolchain"]
