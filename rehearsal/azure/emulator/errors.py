"""ARM's errors, as exceptions that know their own answer."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class ArmError(Exception):
    """An answer in ARM's error shape. The message never holds a value that could be secret."""

    status: int
    code: str
    message: str
    target: str = ""
    headers: dict[str, str] = field(default_factory=dict[str, str])

    def body(self) -> dict[str, Any]:
        """`{"error": {"code", "message", "target"}}`."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.target:
            error["target"] = self.target
        return {"error": error}


def bad_request(code: str, message: str, target: str = "") -> ArmError:
    """400: the request can never succeed as it is."""
    return ArmError(400, code, message, target)


def conflict(code: str, message: str) -> ArmError:
    """409: what is there stands in the way."""
    return ArmError(409, code, message)
