"""Our signatures are botocore's."""

from datetime import UTC, datetime
from urllib.parse import quote

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from hypothesis import given, settings
from hypothesis import strategies as st

from lc2_backup_dagster.clouds.aws.signing import Signer

HOST = "127.0.0.1:9000"
TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
KEYS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=40)
NAMES = st.from_regex(r"x-amz-[a-z][a-z0-9-]{0,20}", fullmatch=True)


def botocore_signs(method, target, headers, body, credentials, region):
    """Return botocore's headers and the time it took for the signature."""
    request = AWSRequest(method=method, url=f"http://{HOST}{target}", headers=headers, data=body)
    S3SigV4Auth(credentials, "s3", region).add_auth(request)
    signed = {name.lower(): value for name, value in request.headers.items()}
    return signed, datetime.strptime(signed["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


@settings(max_examples=200, deadline=None)
@given(
    method=st.sampled_from(["GET", "PUT", "HEAD"]),
    key=KEYS,
    query=st.dictionaries(TEXT, TEXT, max_size=3),
    headers=st.dictionaries(NAMES, TEXT | st.just("two  spaces, and   three "), max_size=3),
    body=st.none() | st.binary(max_size=50),
    token=st.none() | TEXT,
)
def test_a_signature_is_that_of_botocore(method, key, query, headers, body, token):
    credentials = ReadOnlyCredentials("access", "secret", token)
    pairs = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in query.items())
    target = f"/bucket/{quote(key, safe='/~')}" + ("?" if pairs else "") + "&".join("=".join(pair) for pair in pairs)
    for region in ("us-east-1", "eu-central-1"):
        expected, now = botocore_signs(method, target, headers, body, credentials, region)

        signed = Signer(region).sign(method, target, headers, body, host=HOST, credentials=credentials, now=now)

        assert signed.pop("host") == HOST
        assert signed == expected


def test_the_key_of_a_day_is_not_used_for_another_day_or_another_secret():
    signer = Signer("us-east-1")
    times = [datetime(2026, 11, 23, 23, 59, 59, tzinfo=UTC), datetime(2026, 11, 24, tzinfo=UTC)]
    for secret in ("one", "other", "one"):
        for now in times:
            credentials = ReadOnlyCredentials("access", secret, None)
            fresh, kept = (
                each.sign("GET", "/b/k", {}, None, host=HOST, credentials=credentials, now=now)
                for each in (Signer("us-east-1"), signer)
            )
            assert fresh == kept
