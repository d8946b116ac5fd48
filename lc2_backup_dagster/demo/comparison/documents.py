"""Compare the restored documents of a configuration with what its source gives now."""

from collections.abc import Callable
from pathlib import Path

from lc2_backup_dagster.demo.comparison.differences import Differences, Findings
from lc2_backup_dagster.engines.exports.ports import ExportSource


def compare_documents(
    source: ExportSource, restored: Path, *, ignore: Callable[[str], bool] = lambda _: False
) -> Differences:
    """Compare all documents, byte by byte.

    Args:
        source: the application's configuration, without what is never stored.
        restored: a directory of restored documents.
        ignore: which paths not to compare.

    Raises:
        BackupError: the source cannot be read.
    """
    findings = Findings()
    missing = {str(file.relative_to(restored)) for file in restored.rglob("*") if file.is_file()}
    for document in source.documents():
        missing.discard(document.path)
        if ignore(document.path):
            findings.count("documents in use")
            continue
        findings.count("documents")
        file = restored / document.path
        if not file.is_file():
            findings.add(f"document {document.path}", "only on the left")
        elif file.read_bytes() != document.content:
            findings.add(f"document {document.path}", "contents differ")
    for path in sorted(missing):
        if not ignore(path):
            findings.add(f"document {path}", "only on the right")
    return findings.result()
