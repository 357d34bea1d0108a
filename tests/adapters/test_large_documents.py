"""A document that is larger than any run writes is refused while it arrives, so that memory stays small."""

from __future__ import annotations

import pytest

from bqdump.adapters.gcs.objects import Bounded
from bqdump.core.documents.layout import most_bytes
from bqdump.core.errors import DocumentError

NAME = "x/_bqdump/latest.json"


def test_an_object_is_taken_in_up_to_the_limit_and_refused_beyond_it() -> None:
    most = most_bytes(NAME)
    assert most is not None
    buffer = Bounded(NAME)
    buffer.write(bytes(most))
    with pytest.raises(DocumentError, match=f"it is larger than {most:,} bytes"):
        buffer.write(b"x")
    assert len(buffer.getvalue()) == most
