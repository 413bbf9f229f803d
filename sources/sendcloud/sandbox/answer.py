"""Defines the response that the sandbox sends over the wire."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

BLOCK = 65_536


@dataclass(frozen=True, slots=True)
class Answer:
    """A response as sent over the wire, including any connection failure."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    url: str = ""
    """The absolute address that the client requested."""
    wait: float = 0.0
    """Seconds to wait before the first byte."""
    sent: int | None = None
    """Body bytes to send before the connection closes. None sends the whole body and keeps the connection open."""
    reset: bool = False
    """Whether the server resets the connection instead of sending a response."""
    padding: int = 0
    """Number of spaces to append to the body. The spaces count towards the Content-Length."""
    chunked: bool = False
    """Whether the server sends the body in chunks, without a Content-Length."""
    pause: float = 0.0
    """Seconds to wait before each byte of the body. If 0, the body is sent at once."""
    date: datetime | None = None
    """The time in the Date header. None sends the time of the world's clock."""

    def pieces(self) -> Iterator[bytes]:
        """Yields the parts of the body that are actually sent, in order."""
        body = self.body[: self.sent]
        yield from (body[at : at + 1] for at in range(len(body))) if self.pause else [body]
        for left in range(self.padding, 0, -BLOCK) if self.sent is None else ():
            yield b" " * min(left, BLOCK)
