"""An S3 endpoint that only lists: pages of a library that nobody stores, so that millions of objects cost no disk.

``python -m benchmarks.listing_server PORT COUNT``. Every bucket holds the same library, but for one whose name ends
with ``-without-N``: every N-th object is missing there. Answers are rendered once and kept; signatures are not
looked at.
"""

import re
import sys
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from benchmarks.large_library import listed

_PAGE = 1000
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'


class _Listing(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    count = 0

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        bucket = address.path.strip("/").partition("/")[0]
        query = parse_qs(address.query, keep_blank_values=True)
        if "versioning" in query or "location" in query:
            return self._answer(b"<VersioningConfiguration/>" if "versioning" in query else b"<LocationConstraint/>")
        missing = re.search(r"-without-(\d+)$", bucket)
        start = int(query.get("continuation-token", ["0"])[0])
        return self._answer(_page(start, min(start + _PAGE, self.count), int(missing[1]) if missing else 0, self.count))

    def do_HEAD(self) -> None:
        self._answer(b"")

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@cache
def _page(start: int, end: int, without: int, count: int) -> bytes:
    rows: list[str] = []
    for number in range(start, end):
        if without and number % without == 0:
            continue
        each = listed(number)
        when = f"{each.modified:%Y-%m-%dT%H:%M:%S}.{each.modified.microsecond // 1000:03d}Z"
        rows.append(
            f"<Contents><Key>{each.key}</Key><LastModified>{when}</LastModified><ETag>&quot;{each.etag}&quot;</ETag>"
            f"<Size>{each.size_bytes}</Size><StorageClass>STANDARD</StorageClass></Contents>"
        )
    more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{end}</NextContinuationToken>"
    last = more if end < count else "<IsTruncated>false</IsTruncated>"
    counted = f"<KeyCount>{len(rows)}</KeyCount><MaxKeys>{_PAGE}</MaxKeys>"
    return f"{_HEAD}{counted}{last}{''.join(rows)}</ListBucketResult>".encode()


def main() -> None:
    """Serve until killed."""
    port, count = (int(each) for each in sys.argv[1:])
    _Listing.count = count
    for start in range(0, count, _PAGE):
        _page(start, min(start + _PAGE, count), 0, count)  # rendered before anyone measures
    print("ready", flush=True)
    ThreadingHTTPServer(("127.0.0.1", port), _Listing).serve_forever()


if __name__ == "__main__":
    main()
