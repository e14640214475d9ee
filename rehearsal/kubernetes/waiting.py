"""Waiting until an object is ready or gone, or until that takes too long or is called off.

Looks again and again, a little less often as time goes by. Owns the deadlines (the resource's `customTimeouts`, then
its annotation, then the provider's own), not the conditions.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rehearsal.kubernetes.api import Api, ApiError, NoSuchKindError
from rehearsal.kubernetes.objects import SKIP_AWAIT, TIMEOUT_SECONDS, annotation, name_of
from rehearsal.kubernetes.pods import at
from rehearsal.kubernetes.readiness import READ_TOO, Readiness, look
from rehearsal.kubernetes.values import Properties

_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 1.0
_READY_SECONDS = 600.0
_BOUND_SECONDS = 300.0
_SLOW_TO_GO = frozenset({"Deployment", "StatefulSet", "ReplicationController"})


class IncompleteError(Exception):
    """An object is there but did not get where it should. The text says how it ended, `reasons` why."""

    def __init__(self, message: str, live: Properties, reasons: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.live = live
        self.reasons = tuple(reasons)


@dataclass(frozen=True)
class Waiter:
    """What all waiting shares."""

    api: Api
    cancelled: threading.Event
    report: Callable[[str], None]
    """Shows one line of progress."""

    def until_ready(self, live: Properties, inputs: Properties, timeout: float) -> None:
        """Wait for a created or updated object. `timeout` is `customTimeouts` in seconds, 0 if there is none.

        Raises:
            IncompleteError: if it fails, takes too long or is called off.
        """
        if annotation(inputs, SKIP_AWAIT) == "true":
            return
        allowed = (
            _BOUND_SECONDS if live.get("kind") in ("PersistentVolume", "PersistentVolumeClaim") else _READY_SECONDS
        )
        clock = _Clock(self.cancelled, _seconds(timeout, inputs, allowed))
        seen = look(self.api, live)
        while not seen.ready:
            self._show(seen)
            name = name_of(live)
            if seen.failed:
                raise IncompleteError(f"Resource '{name}' was created but failed to initialize", live, seen.problems)
            ending = clock.pause()
            if ending is not None:
                raise IncompleteError(_ended(ending, name), live, seen.problems)
            live = self.api.get(live)
            seen = look(self.api, live)

    def check_once(self, live: Properties, inputs: Properties) -> None:
        """Look at an object as a refresh does.

        Raises:
            IncompleteError: if it is not ready.
        """
        if live.get("kind") not in READ_TOO or annotation(inputs, SKIP_AWAIT) == "true":
            return
        seen = look(self.api, live)
        if not seen.ready:
            raise IncompleteError(
                f"Resource '{name_of(live)}' was created but failed to initialize", live, seen.problems
            )

    def until_gone(self, like: Properties, name: str, inputs: Properties, timeout: float) -> None:
        """Wait for a deleted object, and all that its deletion waits for.

        Raises:
            IncompleteError: if it takes too long or is called off.
        """
        if annotation(inputs, SKIP_AWAIT) == "true":
            return
        kind = str(like.get("kind"))
        clock = _Clock(self.cancelled, _seconds(timeout, inputs, 600.0 if kind in _SLOW_TO_GO else 300.0))
        live = self._still_there(like, name)
        while live is not None:
            self.report(f'{kind} "{name}" still exists')
            ending = clock.pause()
            if ending is not None:
                reason = f'Timed out waiting for deletion of {like.get("apiVersion")}/{kind} "{name}"'
                raise IncompleteError(_ended(ending, name), live, [reason])
            live = self._still_there(like, name)

    def _still_there(self, like: Properties, name: str) -> Properties | None:
        try:
            live = self.api.get(like, name)
        except NoSuchKindError:
            return None
        except ApiError as error:
            if error.not_found:
                return None
            raise
        uid = at(like, "metadata", "uid")
        return None if uid is not None and uid != at(live, "metadata", "uid") else live

    def _show(self, seen: Readiness) -> None:
        for line in seen.problems or [seen.progress]:
            self.report(line)


class _Clock:
    def __init__(self, cancelled: threading.Event, seconds: float) -> None:
        self._cancelled = cancelled
        self._deadline = time.monotonic() + seconds
        self._pause_seconds = _FIRST_PAUSE_SECONDS

    def pause(self) -> str | None:
        """Sleep a little; then how the waiting ends, or None if it goes on."""
        left = self._deadline - time.monotonic()
        if self._cancelled.wait(max(0.0, min(self._pause_seconds, left))):
            return "cancelled"
        self._pause_seconds = min(self._pause_seconds * 1.5, _LONGEST_PAUSE_SECONDS)
        return "timed out" if time.monotonic() >= self._deadline else None


def _ended(how: str, name: str) -> str:
    if how == "cancelled":
        return f'Resource operation was cancelled for "{name}"'
    return f"'{name}' timed out waiting to be Ready"


def _seconds(custom: float, inputs: Properties, default: float) -> float:
    if custom > 0:
        return custom
    wanted = annotation(inputs, TIMEOUT_SECONDS)
    return float(wanted) if wanted.isdigit() else default
