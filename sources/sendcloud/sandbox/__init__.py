"""Simulates the Sendcloud pickups API (v2 and v3) locally, with a world of pickups and a server.

The sandbox shares no code with the source that reads the API. The sandbox and the source were written independently,
based on the same documentation, so each checks the other.
"""

from .carriers import CARRIERS, Carrier
from .paging import Order
from .server import Request, Sandbox, listening, serve
from .timeline import ABSENT, Record, wire_time
from .wire import Server
from .world import World

__all__ = [
    "ABSENT",
    "CARRIERS",
    "Carrier",
    "Order",
    "Record",
    "Request",
    "Sandbox",
    "Server",
    "World",
    "faults",
    "listening",
    "serve",
    "wire_time",
]
