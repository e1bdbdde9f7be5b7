"""What a run of the main job leaves that is the same whenever and however often it was stopped."""

import json
from pathlib import Path
from typing import Any

from tests.music.folder_state import contents


def finished(folder: Path) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Return the files of pool and best, and the summary without its times."""
    files = {name: data for name, data in contents(folder).items() if name.startswith(("best", "pool"))}
    summary = json.loads((folder / "summary.json").read_text())
    del summary["seconds"]
    return files, summary
