"""A folder with the configuration of a seeded Liferay: portal properties, OSGi configurations, secrets, a licence.

What is secret, and the licence, lie there as in a real deployment, so that a backup can leave them out.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

CONFIGURATION: Mapping[str, str] = MappingProxyType(
    {
        "portal-ext.properties": """\
# What this portal changes of Liferay's own properties.
company.default.name=Retail
company.default.locale=en_GB
locales.enabled=en_GB,de_DE
users.reminder.queries.enabled=true
session.timeout=30
dl.store.impl=com.liferay.portal.store.s3.S3Store
jdbc.default.driverClassName=org.postgresql.Driver
jdbc.default.url=jdbc:postgresql://db.retail.example:5432/lportal
jdbc.default.username=liferay
jdbc.default.password=not-a-real-password
mail.session.mail.smtp.host=mail.retail.example
mail.session.mail.smtp.password=not-a-real-password-either
""",
        "portal-setup-wizard.properties": """\
admin.email.from.address=portal@retail.example
admin.email.from.name=Retail Portal
liferay.home=/opt/liferay
setup.wizard.enabled=false
""",
        "osgi/configs/com.liferay.portal.store.s3.configuration.S3StoreConfiguration.config": """\
bucketName="liferay-doclib-dev"
s3Region="us-east-1"
accessKey="lc2-demo"
secretKey="not-a-real-key"
connectionTimeout=I"10000"
""",
        "osgi/configs/com.liferay.portal.search.elasticsearch7.configuration.ElasticsearchConfiguration.config": """\
operationMode="REMOTE"
networkHostAddresses=[ \\
  "http://search-0.retail.example:9200", \\
  "http://search-1.retail.example:9200", \\
  ]
""",
        "osgi/configs/com.liferay.adaptive.media.image.internal.configuration.AMImageConfiguration.cfg": """\
imageMaxSize=5242880
supportedMimeTypes=image/jpeg,image/png,image/webp
""",
        "data/license/activation-key-production.xml": """\
<?xml version="1.0"?>
<license><product-name>DXP Production</product-name><key>00000000000000000000000000000000</key></license>
""",
    }
)
"""Mapping of path → content."""


def seed_liferay_configuration(folder: Path) -> None:
    """Write every document that is missing."""
    for path, content in CONFIGURATION.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            file.write_text(content, encoding="utf-8")
