"""Sizes as people read them."""


def readable_bytes(count: float) -> str:
    """Return a size in powers of 1,024, with one decimal from KiB on."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
