"""An answer, as it is to go on the wire."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

BLOCK = 65_536


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it goes on the wire, and whether the wire holds."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    url: str = ""
    """The absolute address that was asked for."""
    wait: float = 0.0
    """Seconds before the first byte."""
    sent: int | None = None
    """How many bytes of the body are really sent before the connection closes; None: all, and it stays open."""
    reset: bool = False
    """The connection is reset and nothing is sent."""
    padding: int = 0
    """How many spaces follow the body, as part of it."""
    chunked: bool = False
    """The body goes out in chunks, and nobody is told its length beforehand."""
    pause: float = 0.0
    """Seconds before each byte of the body; 0: it is sent in one go."""

    def pieces(self) -> Iterator[bytes]:
        """What is really sent of the body, as it leaves."""
        body = self.body[: self.sent]
        yield from (body[at : at + 1] for at in range(len(body))) if self.pause else [body]
        for left in range(self.padding, 0, -BLOCK) if self.sent is None else ():
            yield b" " * min(left, BLOCK)
