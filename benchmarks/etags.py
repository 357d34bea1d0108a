"""What a user of the aws client can compare after `aws s3 sync`: the ETags of a listing with MD5s of the files.

An object of one request has the MD5 of its bytes, one of several parts the MD5 of the parts' MD5s, and their number.
With keys of KMS, it is another value.

    aws s3api list-objects-v2 … --query 'Contents[].[Key,ETag]' --output text | python benchmarks/etags.py FOLDER PREFIX
"""

from __future__ import annotations

import hashlib
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# The aws client's own: from this size on, it sends parts of it.
PART = 8 << 20


def etag(path: Path) -> str:
    """The ETag that the client's upload of a file must have."""
    with path.open("rb") as file:
        parts = [hashlib.md5(part).digest() for part in iter(lambda: file.read(PART), b"")]
    if path.stat().st_size < PART:
        return (parts or [hashlib.md5().digest()])[0].hex()
    return f"{hashlib.md5(b''.join(parts)).hexdigest()}-{len(parts)}"


def compare() -> None:
    """Compare each file of the folder with the listing on the standard input. Fails if one is missing or differs."""
    folder, prefix = Path(sys.argv[1]), sys.argv[2]
    listed = dict(line.rstrip("\n").split("\t") for line in sys.stdin)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    with ThreadPoolExecutor() as pool:
        for path, expected in zip(files, pool.map(etag, files), strict=True):
            if listed.get(f"{prefix}{path.relative_to(folder).as_posix()}", "").strip('"') != expected:
                sys.exit(f"{path} differs")


if __name__ == "__main__":
    compare()
