"""Serve Dagster's own web application behind `WebGuard`.

    python -m lc2_backup_dagster.orchestration.deployment.webserver -w workspace.yaml --port 3000

Every option can be given by environment: ``LC2_WEB_PORT``, ``LC2_WEB_ALLOWED_HOST`` (several: separated by spaces), ….
"""

import ipaddress
import logging
import signal
from collections.abc import Generator
from contextlib import contextmanager

import click
import dagster as dg

from lc2_backup_dagster.orchestration.deployment.web_guard import LOOPBACK_NAMES, Application, GuardRules, WebGuard

# The values with which dagster-webserver itself starts.
_STATEMENT_TIMEOUT_MILLISECONDS = 15_000
_POOL_RECYCLE_SECONDS = 3_600
_POOL_MAX_OVERFLOW = 20
_WILDCARDS = ("0.0.0.0", "::", "")  # noqa: S104 - addresses that are no host names, not something bound here


@contextmanager
def dagster_web_application(workspace_files: list[str], *, path_prefix: str = "") -> Generator[Application]:
    """Open the instance of ``DAGSTER_HOME`` and the workspace, and build Dagster's own ASGI application.

    `create_app_from_workspace_process_context` is not documented as an interface, but it is what Dagster's command line
    calls; starting that command line instead would leave no place for the guard. Everything of dagster-webserver that
    an upgrade could move is inside this function, and ``test_webserver.py`` serves a page through it.
    """
    from dagster_webserver.app import create_app_from_workspace_process_context

    from lc2_backup_dagster.orchestration.deployment.dagster_internals import open_workspace

    with dg.DagsterInstance.get() as instance:
        instance.optimize_for_webserver(_STATEMENT_TIMEOUT_MILLISECONDS, _POOL_RECYCLE_SECONDS, _POOL_MAX_OVERFLOW)
        with open_workspace(instance, workspace_files) as workspace:
            yield create_app_from_workspace_process_context(workspace, path_prefix, 2000)


def guard_rules(
    *,
    host: str,
    allowed_hosts: tuple[str, ...],
    allowed_origins: tuple[str, ...],
    trusted_proxies: tuple[str, ...],
    path_prefix: str = "",
) -> GuardRules:
    """Build the rules of one deployment from its options.

    Raises:
        ValueError: a trusted proxy is not an address or network.
    """
    named = () if host in _WILDCARDS else (f"[{host}]" if ":" in host else host,)
    return GuardRules(
        hosts=frozenset(name.lower() for name in (*LOOPBACK_NAMES, *named, *allowed_hosts)),
        origins=frozenset(origin.rstrip("/") for origin in allowed_origins),
        trusted_proxies=tuple(ipaddress.ip_network(proxy) for proxy in trusted_proxies),
        path_prefix=path_prefix.rstrip("/"),
    )


@click.command(context_settings={"auto_envvar_prefix": "LC2_WEB"})
@click.option("--workspace", "-w", "workspaces", multiple=True, default=["workspace.yaml"], show_default=True)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to bind. There is no authentication here."
)
@click.option("--port", default=3000, show_default=True, type=int)
@click.option("--path-prefix", default="", help="Mount everything below this path, e.g. /backup.")
@click.option("--allowed-host", "allowed_host", multiple=True, help="Further host name browsers may use.")
@click.option("--allowed-origin", "allowed_origin", multiple=True, help="Origin of a proxy that rewrites Host.")
@click.option("--trusted-proxy", "trusted_proxy", multiple=True, help="Network whose X-Forwarded-User is believed.")
def main(
    workspaces: tuple[str, ...],
    host: str,
    port: int,
    path_prefix: str,
    allowed_host: tuple[str, ...],
    allowed_origin: tuple[str, ...],
    trusted_proxy: tuple[str, ...],
) -> None:
    """Serve the Dagster UI behind the guard."""
    import uvicorn

    # Both end the server cleanly, also where a shell started us in the background with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        rules = guard_rules(
            host=host,
            allowed_hosts=allowed_host,
            allowed_origins=allowed_origin,
            trusted_proxies=trusted_proxy,
            path_prefix=path_prefix,
        )
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--trusted-proxy") from error
    with dagster_web_application(list(workspaces), path_prefix=path_prefix) as application:
        # proxy_headers off: the guard must see the peer that really connected. Open web sockets do not delay the end.
        uvicorn.run(
            WebGuard(application, rules),
            host=host,
            port=port,
            log_level="warning",
            proxy_headers=False,
            timeout_graceful_shutdown=3,
        )


if __name__ == "__main__":
    main()
