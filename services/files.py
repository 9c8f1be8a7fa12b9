"""Files that only their owner may read. Touches nothing but the path it is given."""

import os
import tempfile
from pathlib import Path


def write_private(path: Path, content: bytes) -> None:
    """Replace `path` in one step; a reader sees the old content or the new, other users see neither."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # created with mode 600
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
