"""A Sendcloud v2 pickups API on this machine: a world of pickups, and a server that answers for it.

Shares no code with the source that reads the API: two readings of one document check each other.
"""

from . import faults
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
