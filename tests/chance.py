"""All chance of a test process follows from one seed: nonces, keys, names, pauses, and what Hypothesis tries.

`pytest --seed N` repeats a session. Each test begins with a state of its own, so it repeats alone as well. With workers
(`-n`), the order of sets does, too. Not from the seed: times, ports, and what other processes draw.
"""

from __future__ import annotations

import os
import random
import secrets
import uuid
from collections.abc import MutableSequence
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import core

HASHES = "PYTHONHASHSEED"
_drawn = random.Random()


def new_seed() -> int:
    """A seed for a session that was given none."""
    return random.SystemRandom().randrange(2**32)


def follow(seed: int) -> None:
    """Let this process draw from the seed."""
    instead: tuple[tuple[object, str, object], ...] = (
        (secrets, "token_bytes", _drawn.randbytes),
        (secrets, "token_hex", lambda count: _drawn.randbytes(count).hex()),
        (uuid, "uuid4", lambda: uuid.UUID(bytes=_drawn.randbytes(16), version=4)),
        (Ed25519PrivateKey, "generate", lambda: Ed25519PrivateKey.from_private_bytes(_drawn.randbytes(32))),
        # What Hypothesis tries.
        (core, "global_force_seed", seed),
    )
    for where, name, what in instead:
        setattr(where, name, what)
    begin(seed, "")


def begin(seed: int, what: str) -> None:
    """Draw from here on what this test draws, whatever was drawn before."""
    _drawn.seed(f"{seed} {what}")
    random.seed(f"{seed} {what}")


def seed_workers(seed: int) -> None:
    """Let the processes that this one starts order sets by the seed, unless a variable already says how."""
    os.environ.setdefault(HASHES, str(seed % 2**32))


def shuffle(seed: int, items: MutableSequence[Any]) -> None:
    """Another order for each seed."""
    random.Random(seed).shuffle(items)


def how_to_repeat(seed: int, shuffled: bool) -> str:
    """The command that has the same chance, but for its tests. Without the variable, the order of sets is not known."""
    hashes = os.environ.get(HASHES)
    return f"{f'{HASHES}={hashes} ' if hashes else ''}pytest --seed {seed}{' --shuffle' if shuffled else ''}"
