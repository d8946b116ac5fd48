"""How results are printed."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Row:
    """One measurement of ours, and its peer's where there is one."""

    size: str
    what: str
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    moved_bytes: int | None = None
    stored_bytes: int | None = None
    first_byte_seconds: float | None = None
    peer: str | None = None
    peer_seconds: float | None = None
    peer_cpu_seconds: float | None = None
    peer_stored_bytes: int | None = None


def mb(count: float) -> str:
    """Return bytes as megabytes."""
    return f"{count / 1e6:,.0f} MB"


def print_rows(title: str, rows: Sequence[Row]) -> None:
    """Print measurements with their ratios."""
    columns = [
        "size",
        "what",
        "s",
        "CPU s",
        "peak",
        "MB/s",
        "stored",
        "first byte s",
        "against",
        "its s",
        "ratio",
        "CPU ratio",
        "stored ratio",
    ]
    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(
            row.size,
            row.what,
            f"{row.seconds:.2f}",
            f"{row.cpu_seconds:.2f}",
            mb(row.peak_bytes),
            f"{row.moved_bytes / 1e6 / row.seconds:,.0f}" if row.moved_bytes else "",
            mb(row.stored_bytes) if row.stored_bytes is not None else "",
            f"{row.first_byte_seconds:.2f}" if row.first_byte_seconds is not None else "",
            row.peer or "",
            f"{row.peer_seconds:.2f}" if row.peer_seconds else "",
            f"{row.seconds / row.peer_seconds:.2f}×" if row.peer_seconds else "",
            f"{row.cpu_seconds / row.peer_cpu_seconds:.2f}×" if row.peer_cpu_seconds else "",
            f"{row.stored_bytes / row.peer_stored_bytes:.2f}×" if row.stored_bytes and row.peer_stored_bytes else "",
        )
    Console(width=220, highlight=False).print(table)
