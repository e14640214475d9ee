"""What the user sees while a rehearsal works: one line for each step on stderr, with its time.

Results go to stdout and are not this module's business. Colours and rewritten lines only on a terminal.
"""

import time
from collections.abc import Generator
from contextlib import contextmanager

from rich.console import Console
from rich.table import Table


class Steps:
    """Named steps, shown as they run and kept for the table of `--timings`."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False)
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, title: str) -> Generator[None]:
        """Show a step; on a terminal it spins until it is done. A failed step is marked as such."""
        started = time.monotonic()
        mark = "[red]✗[/]"
        try:
            if self.console.is_terminal:
                with self.console.status(title):
                    yield
            else:
                self.console.print(f"  {title} ...")
                yield
            mark = "[green]✓[/]"
        finally:
            took = time.monotonic() - started
            self.seconds[title] = self.seconds.get(title, 0) + took
            self.console.print(f"{mark} {title} [dim]{took:.1f} s[/]")

    def say(self, text: str) -> None:
        """A line of progress inside a step."""
        self.console.print(f"    {text}", markup=False)

    def print_timings(self) -> None:
        """Where the time went, the longest step first."""
        table = Table("step", "seconds", "share", title="Where the time went")
        total = sum(self.seconds.values()) or 1
        for title, seconds in sorted(self.seconds.items(), key=lambda row: -row[1]):
            table.add_row(title, f"{seconds:.1f}", f"{100 * seconds / total:.0f} %")
        table.add_row("all", f"{total:.1f}", "100 %")
        self.console.print(table)
