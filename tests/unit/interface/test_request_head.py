"""What is wrong with the headers of a request, on any server: some pass on what ours refuses itself."""

import pytest

from channelcelery.interface.request import FORWARDED, head_fault

HOST = (b"host", b"example.org")


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [HOST, HOST],
        [HOST, (b"Host", b"evil.test")],
        [HOST, (b"content-length", b"1"), (b"Content-Length", b"1")],
        [HOST, (b"content-length", b"1"), (b"transfer-encoding", b"chunked")],
        [HOST, (b"transfer-encoding", b"chunked"), (b"transfer-encoding", b"chunked")],
        [HOST, (b"transfer-encoding", b"xchunked")],
        [HOST, (b"transfer-encoding", b"gzip, chunked")],
        [HOST, (b"x", b"a\x00b")],
        [HOST, (b"x", b"a\r\nb")],
        [HOST, (b"x", b"\x1b[2J")],
    ],
)
def test_given_headers_that_are_wrong_expect_a_reason(headers: list[tuple[bytes, bytes]]) -> None:
    assert head_fault(headers, "1.1")


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_given_headers_that_are_right_expect_none(version: str) -> None:
    right = [(b"content-length", b"1"), (b"x", b"a\tb"), (b"x", b"twice")]
    assert head_fault([HOST, *right], version) is None
    assert (head_fault(right, version) is None) is (version == "1.0")
    assert head_fault([HOST, (b"Transfer-Encoding", b"Chunked")], version) is None


def test_what_proxies_say() -> None:
    said = [b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"forwarded", b"x-real-ip"]
    assert all(FORWARDED.fullmatch(name) for name in said)
    assert not any(FORWARDED.fullmatch(name) for name in [b"x-forwarded", b"host", b"x-real-ip-2", b"not-forwarded"])
