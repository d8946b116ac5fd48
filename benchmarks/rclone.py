"""rclone between two buckets of one server, told to ask as little as it can."""

import os
import shutil
import sys
from pathlib import Path

from benchmarks.measured import Measured, measure

TRANSFERS = 8
"""Objects that rclone moves, and checks, at once; as ours does."""


def rclone(
    endpoint: str,
    verb: str,
    source: str,
    target: str,
    *options: str,
    credentials: tuple[str, str] = ("bench", "bench"),
    server_side: bool = False,
    failing: bool = False,
) -> Measured:
    """Run rclone once and measure it.

    Args:
        endpoint: the server.
        verb: ``sync`` or ``check``.
        source: bucket.
        target: bucket.
        *options: more of its options.
        credentials: access key and secret.
        server_side: whether the server may copy by itself.
        failing: whether it is right that it ends with a failure, as ``check`` does when it finds a difference.
    """
    environment = {**os.environ, "RCLONE_CONFIG": os.devnull}
    for remote in "ab":
        settings = {
            "type": "s3",
            "provider": "SeaweedFS",
            "endpoint": endpoint,
            "access_key_id": credentials[0],
            "secret_access_key": credentials[1],
            "no_check_bucket": "true",
            "list_version": "2",
        }
        environment |= {f"RCLONE_CONFIG_{remote.upper()}_{name.upper()}": text for name, text in settings.items()}
    command = [_program(), verb, f"a:{source}", f"b:{target}", f"--transfers={TRANSFERS}", f"--checkers={TRANSFERS}"]
    # Two remotes of one server: rclone copies inside it only when it is told that it may.
    command.append(f"--server-side-across-configs={str(server_side).lower()}")
    return measure(
        [*command, "--fast-list", "--quiet", *options], environment=environment, discard=True, failing=failing
    )


def _program() -> str:
    beside = Path(sys.executable).parent / "rclone"
    return str(beside) if os.access(beside, os.X_OK) else shutil.which("rclone") or "rclone"
