"""What a room, a name and a frame may look like. Nothing here touches a socket or a database."""

import json
from dataclasses import dataclass
from urllib.parse import parse_qs

ROOM = r"(?P<room>[-_a-zA-Z0-9]{1,80})"
MAX_NAME = 40
MAX_TEXT = 2_000


class BadFrame(ValueError):
    """A frame that nobody else gets to see; its text tells the sender why."""


@dataclass(frozen=True)
class Said:
    """What one frame says, and the name it came with, or ""."""

    text: str
    name: str


def read_frame(frame: str | None) -> Said:
    """Read `{"text": …, "name": …}`, where the name is optional, or raise BadFrame."""
    try:
        content = json.loads(frame or "")
    except (ValueError, RecursionError):
        raise BadFrame("This is not JSON.") from None
    if not isinstance(content, dict):
        raise BadFrame('Send an object: {"text": "…"}.')
    text, name = content.get("text"), content.get("name", "")
    if not isinstance(text, str) or not text.strip():
        raise BadFrame("The text is missing.")
    if len(text) > MAX_TEXT:
        raise BadFrame(f"The text has {len(text):,} characters; {MAX_TEXT:,} are allowed.")
    if not isinstance(name, str) or len(tidy_name(name)) > MAX_NAME:
        raise BadFrame(f"A name is a text of at most {MAX_NAME} characters.")
    return Said(text, tidy_name(name))


def name_from_query(query_string: bytes) -> str:
    """Return the `name` of a query string, cut to the longest allowed, or ""."""
    values = parse_qs(query_string.decode("ascii", "replace")).get("name", [""])
    return tidy_name(values[0])[:MAX_NAME]


def tidy_name(name: str) -> str:
    """Single spaces, and nothing invisible that would turn the text around it or make two names look alike."""
    return " ".join("".join(c if c.isprintable() else " " for c in name).split())
