"""What must not be shown when documents are compared: values of keys that look secret, and secrets inside of values.

A backup keeps them, encrypted; a diff goes into logs, terminals and the UI. When in doubt it is hidden: that a secret
changed is seen all the same.
"""

import re
from collections.abc import Iterator, Sequence

HIDDEN = "‹hidden›"

_SENSITIVE_WORDS = (
    r"pass(?:word|wd|phrase|code)?|pwd|secret|token|credentials?|api[-_.]?key|access[-_.]?key|private[-_.]?key|"
    r"encryption[-_.]?key|signing[-_.]?key|license[-_.]?key|salt|authorization|cookie|connection[-_.]?string|dsn|"
    r"bearer|signature"
)
# A word of its own within the name: `apiToken`, `hash_salt`, `jdbc.default.password`; not `compass` or `saltwater`.
_WORD_START = r"(?:^|(?<=[^A-Za-z])|(?<=[a-z])(?=[A-Z]))"
_WORD_END = r"(?=$|[^a-z])"
_SECRET_NAME = re.compile(rf"{_WORD_START}(?i:{_SENSITIVE_WORDS})s?{_WORD_END}")
# Words that nothing harmless holds: wherever they stand in a name, glued to others and in any case (`PGPASSWORD`).
_SECRET_ANYWHERE = re.compile(r"(?i)passw(?:or)?d|passphrase|credential|storepass|secret(?!ar)|apikey|privatekey")
_ASSIGNMENT = re.compile(
    r"""^(?P<before>\s*(?:-\s+|export\s+)?["']?(?P<name>[\w.\-\[\]/:]{1,200}?)["']?\s*[:=]\s*)(?P<value>\S.*)$"""
)
# The beginning of a name is looked for once: a text of nothing but letters shall not take minutes. The value is only
# looked at: it may itself begin with a name (`options=-Dpassword=…`).
NAMED_VALUE = re.compile(
    r"(?<![\w.\-])(?P<name>[\w.\-]{1,200})"
    r"""(?=["']?[ \t]{0,20}[:=][ \t]{0,20}(?:[A-Za-z](?=["'\[(]))?["'\[(]?(?P<value>[^\s"'<>&,;\])]{1,200}))""",
    re.ASCII,
)
"""A name and what is assigned to it, wherever in a text."""
_PEM_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]*(?:PRIVATE KEY|SECRET)[A-Z0-9 ]*-----")
_PEM_END = re.compile(r"-----END ")
_INSIDE = (
    re.compile(r"(?<=://)[^/\s@\"']+(?=@)"),  # user and password in an address
    re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"),  # a JSON web token
    re.compile(r"(?<![A-Z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Z0-9])"),  # an access key of AWS
    re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z0-9 ]*-----.*", re.DOTALL),
    re.compile(r"(?i)(?<=\bbearer )[\w.~+/=-]{8,}"),
)


def is_secret_name(name: str) -> bool:
    """Say whether a key's value should be hidden."""
    return _SECRET_NAME.search(name) is not None or _SECRET_ANYWHERE.search(name) is not None


def redacted(text: str) -> str:
    """Return a value without the secrets that show by their form."""
    for pattern in _INSIDE:
        text = pattern.sub(HIDDEN, text)
    return text


def redacted_lines(lines: Sequence[str]) -> Iterator[str]:
    """Yield lines of a text of any kind without secrets: values behind a secret name, and keys in armour.

    A value that goes on behind a line that ends with a backslash (Java properties) is hidden to its end; one in the
    middle of a line (``user=me password=…``, JSON) to its closing quote or the next blank.
    """
    in_key = continued = False
    for line in lines:
        if in_key:
            in_key = _PEM_END.search(line) is None
            yield HIDDEN
            continue
        if continued:
            continued = line.endswith("\\")
            yield HIDDEN
            continue
        if _PEM_BEGIN.search(line):
            in_key = _PEM_END.search(line) is None
            yield HIDDEN
            continue
        match = _ASSIGNMENT.match(line)
        if match and is_secret_name(match["name"]):
            continued = line.endswith("\\")
            yield f"{match['before']}{HIDDEN}"
        else:
            yield redacted(_without_named(line))


def _without_named(line: str) -> str:
    pieces: list[str] = []
    at = 0
    for found in NAMED_VALUE.finditer(line):
        begin = found.start("value")
        if begin < at or not is_secret_name(found["name"]):
            continue
        quote = line[begin - 1]
        ends = (line.find(each, begin) for each in (quote if quote in "\"'" else " \t"))
        pieces += [line[at:begin], HIDDEN]
        at = min((end for end in ends if end >= 0), default=len(line))
    return "".join([*pieces, line[at:]])
