"""The C heap of a worker: one arena that keeps and reuses the large buffers that parts pass through."""

import ctypes
import ctypes.util
from collections.abc import Mapping

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
# The greatest that glibc takes for the second; free memory beyond the first goes back to the system.
_KEPT_BYTES = 64 << 20
_MAPPED_FROM_BYTES = 32 << 20


def share_one_heap() -> None:
    """Tell glibc to keep buffers of all threads in one arena and to reuse them. Idempotent.

    With an arena for each thread, buffers of many megabytes stay behind in many of them: a worker that holds 60 MB at
    once shows 180 MB. Mapping each large buffer by itself cures that too, but then the kernel zeroes every page of
    every part: a base backup takes twice as long (mallopt(3)). Python's small objects do not live in this heap.
    Does nothing where the C library is another one.
    """
    _tell_malloc({_M_ARENA_MAX: 1, _M_MMAP_THRESHOLD: _MAPPED_FROM_BYTES, _M_TRIM_THRESHOLD: _KEPT_BYTES})


def give_back_large_buffers() -> None:
    """Tell glibc to map buffers of a megabyte and more by themselves, after ``share_one_heap``. Idempotent.

    For a process that lives for months and moves a few buffers a second: zeroing their pages costs it nothing that
    shows, and what it holds between two bursts is what it needs.
    """
    _tell_malloc({_M_MMAP_THRESHOLD: 1 << 20, _M_TRIM_THRESHOLD: 1 << 20})


def _tell_malloc(options: Mapping[int, int]) -> None:
    name = ctypes.util.find_library("c")
    library = ctypes.CDLL(name) if name else None
    if library is not None and hasattr(library, "mallopt"):
        for option, value in options.items():
            library.mallopt(option, value)
