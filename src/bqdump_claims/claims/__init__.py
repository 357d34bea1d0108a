"""Every claim, by subject. A claim that joins is one more entry of its module's CLAIMS."""

from __future__ import annotations

from bqdump_claims.claim import Claim
from bqdump_claims.claims import (
    changes,
    definitions,
    empty_tables,
    footers,
    jobs,
    loads,
    locks,
    objects,
    partitions,
    policies,
    reads,
    streaming,
    times,
    types,
)

MODULES = (
    types,
    reads,
    empty_tables,
    loads,
    footers,
    times,
    partitions,
    policies,
    streaming,
    jobs,
    changes,
    definitions,
    objects,
    locks,
)
CLAIMS: tuple[Claim, ...] = tuple(claim for module in MODULES for claim in module.CLAIMS)
