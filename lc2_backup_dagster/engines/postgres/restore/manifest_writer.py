"""Write the ``backup_manifest`` of a directory that was put together from a chain, as PostgreSQL writes one.

Source: ``write_manifest.c`` of ``pg_combinebackup``; manual, chapter "Backup Manifest Format".
"""

import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from lc2_backup_dagster.engines.postgres.base.backup_manifest import BackupManifest, ManifestFile


def write_manifest(target: Path, files: Iterable[tuple[ManifestFile, int]], *, like: BackupManifest) -> None:
    """Write a manifest.

    Args:
        target: the file to write.
        files: each file and the second of its last modification.
        like: manifest of the newest backup, whose version, system identifier and WAL ranges it gets.
    """
    digest = hashlib.sha256()
    with target.open("wb") as out:

        def put(text: str) -> None:
            line = text.encode("ascii")
            digest.update(line)
            out.write(line)

        put(f'{{ "PostgreSQL-Backup-Manifest-Version": {like.version},\n')
        if like.system_identifier is not None:
            put(f'"System-Identifier": {like.system_identifier},\n')
        put('"Files": [')
        comma = ""
        for file, modified in files:
            put(f"{comma}\n{_file_line(file, modified)}")
            comma = ","
        put('\n],\n"WAL-Ranges": [')
        comma = ""
        for needed in like.wal_ranges:
            start, end = needed.start, needed.end
            put(f'{comma}\n{{ "Timeline": {start.timeline}, "Start-LSN": "{start}", "End-LSN": "{end}" }}')
            comma = ","
        put("\n],\n")
        out.write(f'"Manifest-Checksum": "{digest.hexdigest()}"}}\n'.encode("ascii"))


def _file_line(file: ManifestFile, modified: int) -> str:
    try:
        file.path.encode("utf-8")
        name = f'"Path": {json.dumps(file.path)}'
    except UnicodeEncodeError:
        name = f'"Encoded-Path": "{file.path.encode("utf-8", "surrogateescape").hex()}"'
    when = f"{datetime.fromtimestamp(modified, UTC):%Y-%m-%d %H:%M:%S} GMT"
    line = f'{{ {name}, "Size": {file.size}, "Last-Modified": "{when}"'
    if file.checksum is not None:
        line += f', "Checksum-Algorithm": "{file.algorithm}", "Checksum": "{file.checksum}"'
    return line + " }"
