"""Adapters in memory: what the simulation, the benchmarks and the contract suites run on.

They implement generations, snapshot times, shards and job ids like the services. Time is the event loop's.
"""

from bqdump.adapters.memory.destination import MemoryDestination
from bqdump.adapters.memory.reader import MemoryEncoder, MemoryReader
from bqdump.adapters.memory.store import MemoryStore
from bqdump.adapters.memory.tables import MemoryTable, Version
from bqdump.adapters.memory.warehouse import MemoryWarehouse

__all__ = [
    "MemoryDestination",
    "MemoryEncoder",
    "MemoryReader",
    "MemoryStore",
    "MemoryTable",
    "MemoryWarehouse",
    "Version",
]
