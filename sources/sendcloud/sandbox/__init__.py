"""A local Sendcloud pickups API (v2 and v3): a simulated world of pickups, and a server that serves them.

The sandbox shares no code with the source that reads the API. Both were written independently from the same
documentation, so each checks the other.
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
