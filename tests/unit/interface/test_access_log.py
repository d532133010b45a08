"""What a server's log may hold of a URL."""

import logging

import pytest

from channelcelery.interface.access_log import hide_session_keys, without_session_key


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("/", "/"),
        ("/?", "/?"),
        ("/a?b=1&c", "/a?b=1&c"),
        ("/a?session_key=secret", "/a?session_key=…"),
        ("/a?b=1&session_key=secret&c=2&session_key=secret", "/a?b=1&session_key=…&c=2&session_key=…"),
        ("/a?session%5Fkey=secret", "/a?session%5Fkey=…"),
        ("/a?session_key=se?cret", "/a?session_key=…"),
        ("/a?session_key", "/a?session_key"),
        ("/a?my_session_key=1", "/a?my_session_key=1"),
    ],
)
def test_given_a_url_expect_no_session_key(url: str, shown: str) -> None:
    """Item 139: logs never show it."""
    assert without_session_key(url) == shown


@pytest.mark.parametrize("name", ["uvicorn.access", "uvicorn.error"])
def test_given_a_line_of_the_server_expect_it_without(name: str, caplog: pytest.LogCaptureFixture) -> None:
    hide_session_keys()
    hide_session_keys()
    logger = logging.getLogger(name)
    with caplog.at_level(logging.INFO, logger=name):
        logger.info('%s - "%s %s HTTP/%s" %d', "1.2.3.4:5", "GET", "/a?session_key=secret", "1.1", 200)
        logger.info("no arguments? none")
    assert caplog.messages == ['1.2.3.4:5 - "GET /a?session_key=… HTTP/1.1" 200', "no arguments? none"]
    assert len([each for each in logger.filters if type(each).__module__.endswith("access_log")]) == 1
