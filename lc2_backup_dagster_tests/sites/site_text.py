"""A valid site file as text and as plain values, for tests that break it."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from lc2_backup_dagster.sites.loader import parse_site
from lc2_backup_dagster.sites.problem import SiteProblem
from lc2_backup_dagster.sites.schema import SiteDefinition

FILE = Path("sites/retail.yaml")

SITE = """\
apiVersion: backup.lc2.io/v1alpha1
kind: Site
project: retail
application: liferay
environment: prod
owners: [team:retail, sre@retail.example]
tags: {tier: gold}
destination:
  store:
    kind: directory
    path: /backups
  prefix: lc2/
  encryption:
    enabled: true
    key:
      kind: file
      path: /keys/retail.key
database:
  host: db.retail.example
  port: 5432
  name: lportal
  user: lc2_backup
  passwordEnv: RETAIL_DB_PASSWORD
  sslMode: verify-full
  caFile: /etc/ca.pem
  dumpExcludeTableData: [audit_*]
files:
  source:
    store:
      kind: directory
      path: /library
    prefix: data/document_library/
  protection: client
  rules:
    - prefix: 20097/41305/
      protection: store
    - glob: '*/large/*'
      protection: store
  excludeGeneratedFiles: true
  exclude: ['*/.cache/*']
  include: []
  maxConcurrency: 4
schedules:
  database: {cron: '0 * * * *', timeZone: UTC, enabled: true}
  daily:
    cron: '0 2 * * *'
    timeZone: Europe/Berlin
retention:
  daily: 7
  compliance: {enabled: true, period: 2555}
policies:
  readBack: sample
  danglingRowsLimitShare: 0.02
  freshness: {databaseRpoMinutes: 90}
"""


def site_values() -> dict[str, Any]:
    return deepcopy(yaml.safe_load(SITE))


def parse(text: str | bytes, **environment: str) -> tuple[SiteDefinition | None, list[SiteProblem]]:
    content = text.encode() if isinstance(text, str) else text
    return parse_site(content, file=FILE, environment=environment)


def definition_of(text: str = SITE, **environment: str) -> SiteDefinition:
    definition, problems = parse(text, **environment)
    assert definition is not None, [str(problem) for problem in problems]
    return definition


def problems_with(old: str, new: str, **environment: str) -> list[str]:
    """Replace text in the valid file (once) and return what is said of it."""
    assert old in SITE
    definition, problems = parse(SITE.replace(old, new, 1), **environment)
    assert definition is None
    return [str(problem) for problem in problems]


def line_of(text: str) -> int:
    return next(number for number, line in enumerate(SITE.splitlines(), start=1) if text in line)
