"""Secrets and the licence never become part of Liferay's configuration; everything else stays byte for byte."""

import pytest

from lc2_backup_dagster.applications.liferay.application import LiferayApplication
from lc2_backup_dagster.applications.liferay.configuration import without_secrets
from lc2_backup_dagster.model.globs import GlobSet

LIFERAY = LiferayApplication()


def test_properties_that_hold_secrets_go_with_all_their_lines():
    content = (
        b"# The portal.\r\n"
        b"jdbc.default.url=jdbc:postgresql://db/lportal\r\n"
        b"jdbc.default.password=s3cret\\\r\n"
        b"   goes-on\r\n"
        b"company.default.name=M\xfcller\r\n"
        b"mail.session.mail.smtp.password : hidden\r\n"
        b"ldap.security.credentials.0 hidden\r\n"
        b"search.password.hint.enabled=true\r\n"
        b"layout.static.portlets.all=\\\r\n    a,\\\r\n    b\r\n"
    )
    cleaned = without_secrets("portal-ext.properties", content)
    assert cleaned.content == (
        b"# The portal.\r\n"
        b"jdbc.default.url=jdbc:postgresql://db/lportal\r\n"
        b"company.default.name=M\xfcller\r\n"
        b"layout.static.portlets.all=\\\r\n    a,\\\r\n    b\r\n"
    )
    # A name that only looks secret is left out too: when in doubt, it does not enter a backup.
    assert cleaned.left_out == (
        "jdbc.default.password",
        "mail.session.mail.smtp.password",
        "ldap.security.credentials.0",
        "search.password.hint.enabled",
    )


def test_a_password_in_an_address_and_one_in_a_comment_are_secrets_too():
    content = b"jdbc.other.url=jdbc:postgresql://me:s3cret@db/x\n#elastic=https://me:s3cret@search:9200\nplain=1\n"
    cleaned = without_secrets("portal-ext.properties", content)
    assert cleaned.content == b"plain=1\n"
    assert cleaned.left_out == ("jdbc.other.url", "a comment")


def test_typed_configurations_lose_whole_lists_and_keep_the_rest():
    content = (
        b':org.apache.felix.configadmin.revision:=L"1"\n'
        b'accessKey="AKIA"\n'
        b'secretKey=[ \\\n  "one ] two", \\\n  "three", \\\n  ]\n'
        b'bucketName="doclib"\n'
        b'hosts=[ \\\n  "a=\\"b\\"", \\\n  "c", \\\n  ]\n'
        b'maxConnections=I"50"\n'
    )
    path = "osgi/configs/com.liferay.portal.store.s3.configuration.S3StoreConfiguration.config"
    cleaned = without_secrets(path, content)
    assert cleaned.content == (
        b':org.apache.felix.configadmin.revision:=L"1"\n'
        b'bucketName="doclib"\n'
        b'hosts=[ \\\n  "a=\\"b\\"", \\\n  "c", \\\n  ]\n'
        b'maxConnections=I"50"\n'
    )
    assert cleaned.left_out == ("accessKey", "secretKey")


def test_a_licence_is_left_out_wherever_it_lies():
    licence = b"<?xml version='1.0'?>\n<license><key>0123456789abcdef0123</key></license>"
    assert without_secrets("deploy/anything.xml", licence).content is None
    assert without_secrets("deploy/context.xml", b"<Context/>").content == b"<Context/>"
    excluded = GlobSet(LIFERAY.configuration_excludes)
    for path in ("deploy/activation-key-prod-2026.xml", "data/license/x", "license/x", "osgi/a.li", "conf/tls.key"):
        assert excluded.match(path), path
    for path in ("osgi/configs/a.config", "portal-ext.properties", "tomcat/conf/server.xml"):
        assert not excluded.match(path), path


@pytest.mark.parametrize("content", [b"", b"\n", b"novalue", b"=x", b'list=[ \\\n "never closed', b"\x00\xff\xfe"])
@pytest.mark.parametrize("path", ["a.properties", "a.config", "a.cfg", "a.txt"])
def test_whatever_holds_no_secret_is_kept_as_it_is(path, content):
    assert without_secrets(path, content).content == content


@pytest.mark.parametrize(
    ("content", "named"),
    [
        # UTF-8 of Å ends with a byte that Python takes for the end of a line, and Java does not.
        ("jdbc.default.password=abcÅHUNTER2\n".encode(), "jdbc.default.password"),
        (b"jdbc.default.\\u0070assword=HUNTER2\n", "jdbc.default.password"),
        (b"jdbc.default.pass\\\n   word=HUNTER2\n", "jdbc.default.password"),
        (b"dbpassword=HUNTER2\n", "dbpassword"),
        (b"PGPASSWORD=HUNTER2\n", "PGPASSWORD"),
        (b"# jdbc.default.password=HUNTER2\n", "a comment"),
        (b"jvm.options=-Xmx1g -Ddb.password=HUNTER2\n", "jvm.options"),
        (b"jdbc.default.url=jdbc:postgresql://db/x?user=u&password=HUNTER2\n", "jdbc.default.url"),
    ],
)
def test_a_secret_is_found_however_its_property_is_written(content: bytes, named: str):
    cleaned = without_secrets("portal-ext.properties", content + "über=Ärger…\n".encode())
    assert cleaned.content == "über=Ärger…\n".encode()
    assert cleaned.left_out == (named,)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b'my+password="HUNTER2"\n', "my+password"),
        (b'my\\ password="HUNTER2"\n', "my password"),
        (b"password HUNTER2\n", "a line that cannot be read"),
        (b'#password="HUNTER2"\n', "a comment"),
        (b'properties=[ \\\n  "user=me", \\\n  "password=HUNTER2", \\\n  ]\n', "properties"),
    ],
)
def test_a_secret_of_a_typed_configuration_stands_neither_in_it_nor_in_the_name(content: bytes, named: str):
    cleaned = without_secrets("osgi/configs/a.config", content + b'plain="1"\n')
    assert cleaned.content == b'plain="1"\n'
    assert cleaned.left_out == (named,)


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("tomcat/bin/setenv.sh", b"export DB_PASSWORD=HUNTER2\n"),
        ("tomcat/bin/setenv.sh", b'CATALINA_OPTS="$CATALINA_OPTS -Djdbc.password=HUNTER2"\n'),
        ("tomcat/conf/context.xml", b'<Resource name="jdbc/x" username="me"\n  password="HUNTER2"/>\n'),
        ("a.xml", b'<bean><property name="password" value="HUNTER2"/></bean>\n'),
        ("a.xml", b'<entry key="smtp.password">HUNTER2</entry>\n'),
        ("a.xml", b"<server><password>HUNTER2</password></server>\n"),
        ("portal-ext.properties.bak", b"jdbc.default.password=HUNTER2\n"),
        ("a.yml", b"database:\n  password: HUNTER2\n"),
        ("a.json", b'{"name": "x", "password": "HUNTER2"}'),
    ],
)
def test_a_document_of_another_format_that_shows_a_secret_is_left_out_and_told(path: str, content: bytes):
    cleaned = without_secrets(path, content)
    assert cleaned.content is None
    assert cleaned.left_out == ("the whole document: a secret shows in it",)


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("tomcat/bin/setenv.sh", b'CATALINA_OPTS="$CATALINA_OPTS -Xmx2g -Dpassword=$DB_PASSWORD"\n'),
        ("tomcat/conf/context.xml", b'<Resource name="jdbc/x" password="${db.password}"/><Key name="a">b</Key>\n'),
        ("a.xml", b'<user name="compass" password=""/><password/>\n'),
        ("a.json", b'{"name": "saltwater", "password": ""}'),
        ("a.bin", b"a" * 3_000_000),
    ],
)
def test_a_document_that_names_no_value_of_a_secret_is_kept(path: str, content: bytes):
    assert without_secrets(path, content).content == content
