"""Which sites the demo has, in the order in which it tells of them."""

from lc2_backup_dagster.demo.sites.bloomreach import BLOOMREACH
from lc2_backup_dagster.demo.sites.drupal import DRUPAL
from lc2_backup_dagster.demo.sites.liferay import LIFERAY
from lc2_backup_dagster.demo.sites.site import DemoSite

ALL_SITES: tuple[DemoSite, ...] = (LIFERAY, DRUPAL, BLOOMREACH)
