"""Adapters in memory: what the simulation, the benchmarks and the contract suites run on.

They implement generations, snapshot times, shards and job ids like the services. Time is the event loop's.
"""

from bqdump_memory.destination import MemoryDestination
from bqdump_memory.gated import gated
from bqdump_memory.reader import MemoryEncoder, MemoryReader
from bqdump_memory.tables import MemoryTable, Version
from bqdump_memory.warehouse import MemoryWarehouse

__all__ = [
    "MemoryDestination",
    "MemoryEncoder",
    "MemoryReader",
    "MemoryTable",
    "MemoryWarehouse",
    "Version",
    "gated",
]
