"""What the service knows of Acquia Drupal (REQUIREMENTS, "Applications", and R-10).

Keys are paths below Drupal's root, ``sites/default/files/…`` and ``sites/default/private/…``; where the source begins
deeper or elsewhere, a site says so in ``files.include`` and ``database.fileReferenceSql``. Drupal's configuration has
two tracks: it lies in the table ``config``, so every backup of the database has it, and ``drush config:export`` writes
it as YAML, one document per object, which is what people read, compare and import.
"""

from dataclasses import dataclass

from lc2_backup_dagster.model.application import CleanDocument, ReferenceLayout

_PUBLIC = "sites/default/files/"
_PRIVATE = "sites/default/private/"

# settings.php and its companions (settings.local.php, settings.ddev.php …) hold the database's password and the salt of
# one-time links; they belong to a deployment, not to content.
_SETTINGS_GLOBS = ("settings.php", "settings.*.php", "*/settings.php", "*/settings.*.php")

# Aggregated CSS and JavaScript; image styles, which Drupal derives again from the original when a browser asks for one
# (ImageStyleDownloadController), in the folder of the original's scheme; compiled templates and the service container,
# which are bound to one machine by hash salt and time (PhpStorage\MTimeProtectedFileStorage).
_GENERATED_GLOBS = tuple(
    f"{folder}*"
    for folder in (
        f"{_PUBLIC}css/",
        f"{_PUBLIC}js/",
        f"{_PUBLIC}styles/",
        f"{_PUBLIC}php/",
        f"{_PRIVATE}styles/",
    )
)

# `file_managed.uri` is the stream wrapper's address as it is, not a URL: a `%20` or an umlaut in it stands in the name
# of the file in the same way, and only the links that Drupal prints are escaped (PublicStream::getExternalUrl).
# Slashes and backslashes around the target are cut off (LocalStream::getTarget); several in a row are one on disk.
#
# A row with status 0 is temporary: an upload whose form nobody has saved, or a file that lost its last use. Drupal's
# cron deletes such a file first and its row after it, at any time, unless something still uses it (file_cron): nothing
# that is shown hangs on it, and counting it would find rows without files in a sound site. So rows count when they are
# permanent or used. Schemes other than these two (temporary://, s3://, youtube://) name nothing in this source.
_FILE_REFERENCE_SQL = r"""
SELECT (file.folder || regexp_replace(trim(BOTH '/\' FROM substr(file.uri, file.skip)), '/+', '/', 'g')) COLLATE "C"
         AS key,
       'file_managed.fid=' || file.fid AS row_id,
       file.filesize::bigint AS size_bytes
  FROM (SELECT fid, uri, filesize, status,
               CASE WHEN starts_with(uri, 'public://') THEN 'sites/default/files/'
                    WHEN starts_with(uri, 'private://') THEN 'sites/default/private/' END AS folder,
               strpos(uri, '://') + 3 AS skip
          FROM file_managed) AS file
 WHERE file.folder IS NOT NULL
   AND (file.status <> 0
        OR EXISTS (SELECT FROM file_usage WHERE file_usage.fid = file.fid AND file_usage.count > 0))
 ORDER BY key, row_id
""".strip()


@dataclass(frozen=True, slots=True)
class DrupalApplication:
    """Acquia Drupal, or any Drupal 9 to 11 on PostgreSQL."""

    kind: str = "drupal"
    title: str = "Acquia Drupal"
    files_word: str = "files"
    default_includes: tuple[str, ...] = (f"{_PUBLIC}*", f"{_PRIVATE}*")
    generated_globs: tuple[str, ...] = _GENERATED_GLOBS
    default_excludes: tuple[str, ...] = (f"{_PUBLIC}tmp/*",)
    forbidden_globs: tuple[str, ...] = _SETTINGS_GLOBS
    # Without `cachetags`, on purpose: it is small, and caches outside of the database (Redis, Varnish, a CDN) compare
    # its counters with those they have stored. Counters that begin at zero again would make stale entries look valid.
    default_dump_excludes: tuple[str, ...] = ("cache_*", "sessions", "watchdog")
    configuration_word: str = "configuration_export"
    configuration_required: tuple[str, ...] = ("core.extension.yml",)
    # Drupal writes .htaccess into an export's folder by itself; it is no configuration and no YAML.
    configuration_excludes: tuple[str, ...] = (*_SETTINGS_GLOBS, ".htaccess", "*/.htaccess", ".git/*")
    after_restore_notes: tuple[str, ...] = (
        "settings.php is never part of a backup: deploy the code with a settings.php that names the restored database "
        "and folders, and with the hash_salt of the original, or one-time links and trusted tokens no longer fit",
        "caches: run `drush cache:rebuild` before the site is opened; caches, sessions and the log are empty, so "
        "everybody signs in again",
        "configuration: the restored database has the configuration of its moment; `drush config:import "
        "--source=<restored configuration_export>` is for where the export shall win (a restore runs it when it is "
        "asked to), and `drush config:status` shows how they differ",
        "search index required: the index is not part of the backup; with Search API run `drush search-api:clear` and "
        "`drush search-api:index`, with core's search `drush search:reindex`",
        "image styles, aggregated CSS and JavaScript, compiled templates are made again when they are first asked for",
    )
    file_reference_sql: str = _FILE_REFERENCE_SQL
    file_reference_layouts: tuple[ReferenceLayout, ...] = ()

    def clean_configuration(self, path: str, content: bytes, /) -> CleanDocument:
        """Keep a document as it is: an import makes the site equal to it, so what is missing would be deleted there.

        Drupal keeps secrets out of its configuration by overrides in settings.php; those that a module stores all the
        same are encrypted with the backup, and ``diff`` hides them.
        """
        return CleanDocument(content)


APPLICATION = DrupalApplication()
