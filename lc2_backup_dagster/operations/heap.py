"""The C heap of a worker: large buffers go back to the system when they are freed."""

import ctypes
import ctypes.util

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_BYTES = 1 << 20


def return_freed_memory() -> None:
    """Tell glibc to map buffers of a megabyte and more by themselves, and to trim early. Idempotent.

    Without it glibc raises its threshold each time a large buffer is freed, and then keeps parts of many megabytes in
    the arenas of many threads: a worker that holds 60 MB at once shows 180 MB (mallopt(3), "Dynamic mmap threshold").
    Does nothing where the C library is another one.
    """
    name = ctypes.util.find_library("c")
    if name is None:
        return
    library = ctypes.CDLL(name)
    if hasattr(library, "mallopt"):
        library.mallopt(_M_MMAP_THRESHOLD, _BYTES)
        library.mallopt(_M_TRIM_THRESHOLD, _BYTES)
