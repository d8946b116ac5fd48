"""``keygen``: make a key file."""

from pathlib import Path

import click

from lc2_backup_dagster.cli.session import Session, pass_session
from lc2_backup_dagster.clouds.registry import create_key_file


@click.command()
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
@pass_session
def keygen(session: Session, path: Path) -> None:
    """Make a new key file at PATH; never replaces one.

    Whoever loses the key loses every backup encrypted under it. Keep a copy outside of this machine and of the bucket.
    """
    key = create_key_file(path)
    if session.as_json:
        session.print_json({"path": str(path), "key_id": key.key_id})
    else:
        session.console.print(f"{path} holds the new key {key.key_id}. Put a copy into your safe now.", markup=False)
