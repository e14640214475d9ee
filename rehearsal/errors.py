"""The one exception that a user sees: a sentence with the cause, and what to do about it."""


class RehearsalError(Exception):
    """A rehearsal cannot go on; `fix` says what the user can do. Never holds a secret."""

    def __init__(self, message: str, fix: str) -> None:
        self.message = message.rstrip(".")
        self.fix = fix.rstrip(".")
        super().__init__(f"{self.message}. {self.fix}.")
