"""Which files a seeded Drupal has: one pure plan, read by the rows of ``file_managed`` and by the store's objects.

Keys are paths below Drupal's root. Besides managed files there is what a real ``sites/default`` holds: derivatives and
aggregates that Drupal makes again, uploads under way, files that no row names, and settings.php, which no backup takes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from lc2_backup_dagster.demo.seed.drupal_scale import PRIVATE, PUBLIC, DrupalScale
from lc2_backup_dagster.demo.seed.library_plan import ObjectRole, PlannedObject
from lc2_backup_dagster.demo.seed.prose import Prose

_KINDS = (  # extension, content type, share of the files
    ("jpg", "image/jpeg", 34),
    ("png", "image/png", 16),
    ("pdf", "application/pdf", 30),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", 10),
    ("txt", "text/plain", 6),
    ("zip", "application/zip", 4),
)
_ODD_NAMES = (
    "Übersicht Öffnungszeiten.pdf",
    "100% Papier.pdf",
    "already%20escaped.pdf",
    "plan (final), v2 & notes.pdf",
    "C# und C++.pdf",
    "what's new?.pdf",
    "日本語のカタログ.pdf",
    "leaflet [de] {2024} ~.pdf",
)
_SMALLEST, _MEDIAN, _SIGMA, _LARGEST = 1_024, 12_000, 1.3, 2 * 1024 * 1024
_PRIVATE_SHARE, _UNSAVED_SHARE = 0.15, 0.02


@dataclass(frozen=True, slots=True)
class ManagedFile:
    """One row of ``file_managed``.

    Attributes:
        fid: its id.
        uri: where Drupal finds it, scheme included.
        content_type: without parameters.
        size_bytes: its size.
        permanent: False for an upload that was never saved: Drupal's cron deletes it.
    """

    fid: int
    uri: str
    content_type: str
    size_bytes: int
    permanent: bool = True

    @property
    def filename(self) -> str:
        """The last part of its path."""
        return self.uri.rsplit("/", 1)[1]

    @property
    def is_image(self) -> bool:
        """Whether nodes show it as a picture."""
        return self.content_type.startswith("image/")

    @property
    def is_private(self) -> bool:
        """Whether Drupal asks for rights before it gives it out."""
        return self.uri.startswith("private://")

    @property
    def planned(self) -> PlannedObject:
        """The object in the store."""
        scheme, target = self.uri.split("://", 1)
        key = f"{PUBLIC if scheme == 'public' else PRIVATE}{target}"
        return PlannedObject(key, self.size_bytes, self.content_type, ObjectRole.DOCUMENT)


def plan_files(scale: DrupalScale, random: Random) -> list[ManagedFile]:
    """Return every managed file in the order of its id."""
    prose = Prose(random)
    files: list[ManagedFile] = []
    for number in range(scale.files):
        odd = _ODD_NAMES[number] if number < len(_ODD_NAMES) else None
        files.append(invent_file(number + 1, random, prose, odd_name=odd))
    return files


def invent_file(fid: int, random: Random, prose: Prose, *, odd_name: str | None = None) -> ManagedFile:
    """Return a new managed file; its name holds its id, so no other has it."""
    (extension, content_type, _), *_ = random.choices(_KINDS, [share for *_, share in _KINDS])
    name = f"{prose.slug(random.randrange(2, 5))}-{fid}.{extension}"
    if odd_name is not None:
        name, content_type = odd_name, "application/pdf"
    private = random.random() < _PRIVATE_SHARE
    folder = f"{random.randrange(2021, 2027)}-{random.randrange(1, 13):02}" if not private else "documents"
    return ManagedFile(
        fid=fid,
        uri=f"{'private' if private else 'public'}://{folder}/{name}",
        content_type=content_type,
        size_bytes=choose_size(random),
        permanent=odd_name is not None or random.random() >= _UNSAVED_SHARE,
    )


def choose_size(random: Random) -> int:
    """Return the size of a file as they are spread in real sites, in bytes."""
    return min(max(int(_MEDIAN * random.lognormvariate(0, _SIGMA)), _SMALLEST), _LARGEST)


def derivatives(file: ManagedFile, random: Random) -> Iterator[PlannedObject]:
    """Yield the image styles that were asked for so far; Drupal makes each again from the original."""
    if not file.is_image:
        return
    scheme, target = file.uri.split("://", 1)
    for style in ("thumbnail", "large", "hero"):
        if random.random() < 0.3:
            key = f"{PRIVATE if file.is_private else PUBLIC}styles/{style}/{scheme}/{target}"
            yield PlannedObject(f"{key}.webp", random.randrange(1_024, 20_000), "image/webp", ObjectRole.GENERATED)


def unmanaged_objects(random: Random) -> Iterator[PlannedObject]:
    """Yield files that no row names and that a backup takes all the same."""
    for key in (f"{PUBLIC}.htaccess", f"{PRIVATE}.htaccess", f"{PUBLIC}legacy/intranet.html"):
        yield PlannedObject(key, 400 + random.randrange(200), "text/plain", ObjectRole.DOCUMENT)
    for name in ("drupal-10.3.de.po", "pathauto-1.12.de.po"):
        yield PlannedObject(f"{PUBLIC}translations/{name}", 30_000, "text/plain", ObjectRole.DOCUMENT)


def excluded_objects(random: Random) -> Iterator[PlannedObject]:
    """Yield what no backup takes: aggregates, compiled templates, uploads under way, settings, code."""

    def made(key: str, content_type: str) -> PlannedObject:
        return PlannedObject(key, random.randrange(2_000, 30_000), content_type, ObjectRole.GENERATED)

    for _ in range(6):
        name = random.randbytes(16).hex()
        yield made(f"{PUBLIC}css/css_{name}.css", "text/css")
        yield made(f"{PUBLIC}js/js_{name}.js", "text/javascript")
        yield made(f"{PUBLIC}php/twig/{name[:13]}_node.html.twig_{name}/{name[::-1]}.php", "text/x-php")
        yield PlannedObject(f"{PUBLIC}tmp/php{name[:6]}.part", 9_000, "application/octet-stream", ObjectRole.CACHE)
    yield PlannedObject("sites/default/settings.php", 3_000, "text/x-php", ObjectRole.CACHE)
    yield PlannedObject("sites/default/settings.local.php", 500, "text/x-php", ObjectRole.CACHE)
    yield PlannedObject("sites/default/services.yml", 800, "text/plain", ObjectRole.CACHE)
