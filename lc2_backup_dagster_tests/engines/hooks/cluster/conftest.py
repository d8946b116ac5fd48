"""A cluster's API for each test, reached by a kubeconfig as any other."""

import json

import pytest

from lc2_backup_dagster.engines.hooks.cluster.access import ClusterAccess
from lc2_backup_dagster_tests.engines.hooks.cluster.api_server import TOKEN, Cluster, a_pod, running_cluster
from lc2_backup_dagster_tests.engines.hooks.hooking import Marked

LABELS = {"app": "drupal"}


@pytest.fixture
def marked():
    return Marked()


@pytest.fixture
def cluster(marked):
    with running_cluster(Cluster(environment=marked.environment)) as cluster:
        cluster.pods["drupal-1"] = a_pod("drupal-1", LABELS)
        yield cluster
    assert marked.wait_until(0) == [], "a hook left processes in its pod"


@pytest.fixture
def access(cluster, tmp_path):
    """The cluster as the hooks find it."""
    told = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "here", "cluster": {"server": cluster.url}}],
        "users": [{"name": "worker", "user": {"token": TOKEN}}],
        "contexts": [{"name": "ours", "context": {"cluster": "here", "user": "worker"}}],
        "current-context": "ours",
    }
    file = tmp_path / "kubeconfig"
    file.write_text(json.dumps(told))
    return ClusterAccess("shop", file, None)
