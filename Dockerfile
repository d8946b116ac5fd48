# One image for every process: code servers, daemon, web server and the command line.
#
#   docker build --build-arg BASE=<registry>/<python image>:<pinned tag> --tag lc2-backup:0.1.0 .
#
# BASE has no default on purpose: which registry may be used is a deployment's decision. Take a Debian-based image with
# Python 3.11, 3.12 or 3.13 in PATH, by a pinned tag or digest. Nothing else is needed from it: PostgreSQL's client tools
# come with docker/requirements.lock, and serve servers up to 17. For PostgreSQL 18 install its client package here.
ARG BASE

FROM ${BASE} AS build
# Hashes of every package are checked. --compile: the image's file system is read-only later, so what is not compiled
# now is compiled again by every process, each run's worker too.
COPY docker/requirements.lock /build/requirements.lock
RUN python -m venv /opt/lc2 \
    && /opt/lc2/bin/python -m pip install --no-cache-dir --compile --require-hashes -r /build/requirements.lock
COPY pyproject.toml README.md /build/
COPY lc2_backup_dagster /build/lc2_backup_dagster
RUN /opt/lc2/bin/python -m pip install --no-cache-dir --compile --no-deps --no-build-isolation /build

FROM ${BASE}
# The standard library too: slim images come without its bytecode.
RUN python -m compileall -q "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" \
        -x '(lib2to3|test|idlelib)/' \
    && groupadd --gid 10001 lc2 \
    && useradd --uid 10001 --gid lc2 --home-dir /var/lib/dagster --shell /usr/sbin/nologin lc2 \
    && install --directory --owner lc2 --group lc2 --mode 0750 /var/lib/dagster /etc/lc2/sites /etc/lc2/keys /etc/lc2/configuration
COPY --from=build /opt/lc2 /opt/lc2
# A copy that the mount of a deployment replaces; secrets come from the environment.
COPY --chown=lc2:lc2 dagster.yaml /var/lib/dagster/dagster.yaml

# Writable at run time: DAGSTER_HOME (logs of runs) and /tmp (scratch). Everything else may be read-only.
ENV PATH=/opt/lc2/bin:$PATH \
    DAGSTER_HOME=/var/lib/dagster \
    LC2_BACKUP_SITES=/etc/lc2/sites \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /var/lib/dagster
# No entry point: each process names its own command (docker-compose.yml, docs/operating.md).
CMD ["lc2-backup", "--help"]
