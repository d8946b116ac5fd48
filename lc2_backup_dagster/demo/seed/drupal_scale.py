"""How large a seeded Drupal is, and the words that rows, files and configuration share."""

from dataclasses import dataclass

NODE_TYPES = {"article": "Article", "page": "Basic page", "landing_page": "Landing page"}
"""Mapping of machine name → label."""

VOCABULARIES = {"tags": "Tags", "topics": "Topics"}
LANGUAGES = {"en": "English", "de": "German"}
ROLES = ("content_editor", "administrator")

PUBLIC = "sites/default/files/"
PRIVATE = "sites/default/private/"


@dataclass(frozen=True, slots=True)
class DrupalScale:
    """What to make. Equal scales and equal randomness make equal databases and files.

    Attributes:
        nodes: pages of the site; some have a translation, most an image or attachments.
        users: accounts, without the anonymous one.
        files: rows of ``file_managed``, without the few of other schemes.
        terms: taxonomy terms.
        cached: rows of each cache table; dumps leave them out.
        logged: rows of ``watchdog``; dumps leave them out.
        sessions: rows of ``sessions``; dumps leave them out.
    """

    nodes: int = 600
    users: int = 80
    files: int = 900
    terms: int = 60
    cached: int = 120
    logged: int = 1_500
    sessions: int = 90

    def __post_init__(self) -> None:
        if min(self.nodes, self.users, self.files, self.terms) < 20:
            raise ValueError("a Drupal has at least 20 nodes, users, files and terms")
        if min(self.cached, self.logged, self.sessions) < 0:
            raise ValueError("numbers of rows cannot be negative")
