"""The laws: what must hold at every instant of every schedule, in one sentence each."""

from __future__ import annotations

from enum import Enum


class Law(Enum):
    """A law, and what it says. A broken one is shown with this sentence."""

    COMPLETE = (
        "The published export stays until the next one is complete: whoever follows latest.json reads one complete "
        "export, or sees from a generation that it was just replaced."
    )
    TRUE = (
        "The manifest names every table of the plan once, every file that it lists exists with that size, CRC32C and "
        "generation, and the files hold the table as of the snapshot time."
    )
    FORWARD = "latest.json and publishing.json never go back in time."
    RESUMABLE = (
        "Any task may be killed at any instruction, started twice or started late: the run still completes to the same "
        "result, and leaves nothing behind."
    )
    OWN_FILES = (
        "Nothing is deleted or overwritten except objects that a manifest or this run's staging names, at exactly that "
        "generation."
    )
    NAMED_LOSSES = "Nothing is lost silently: what an export leaves out is named in its plan and its manifest."
    UNCHANGED = (
        "Cost follows change: what an export names again is exactly what the table was at the snapshot time, and what "
        "provably did not change is not exported again."
    )
    ASKED_REMOVALS = "No table leaves an export unless it is named as removed, and the settings allow that."
    PRUNED = "Prune deletes no file that a kept manifest names, whatever runs at the same time."
    COPIED = "A copy never has a manifest that names a missing or different file, and equals its source."
    LOCKED = "What is locked restores until its date, whoever deletes, overwrites, prunes or plants what he can."
    SETS = (
        "project.json is written last, and names published exports of one snapshot time. A dataset that fails holds "
        "back no other, and no late task publishes a mixed set."
    )
    LAKE = (
        "The Iceberg metadata that latest.json's manifest names is there, and names exactly the files of its tables "
        "with their rows; as of each published run that is kept, it names that run's files. "
        "version-hint.text never goes back in time."
    )
    RESTORED = (
        "A restored dataset equals its export: same rows, types, partitioning, clustering, constraints, descriptions, "
        "labels, views. What could not be restored is named."
    )
