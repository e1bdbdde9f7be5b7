"""What the site has beside docs/: the README as its home, files beside it, and the results under assets/.

Pages link to files of the repository as a forge shows them (``../assets/lab/README.md``); the site has these files one
folder nearer.
"""

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parent.parent
SHOWN = ("*.md", "*.png", "*.csv")


def on_files(files: Any, config: Any) -> Any:
    """Add the files of the repository that pages link to."""
    files.append(File.generated(config, "index.md", abs_src_path=str(ROOT / "README.md")))
    beside = [ROOT / name for name in ("CONTRIBUTING.md", "CHANGELOG.md", "CITATION.cff", "LICENSE")]
    results = [path for kind in SHOWN for path in sorted((ROOT / "assets").rglob(kind))]
    for path in (*beside, *results):
        name = path.relative_to(ROOT).as_posix()
        files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Turn links of the repository into those of the site."""
    if page.file.src_uri == "index.md":
        return markdown.replace("](docs/", "](")
    return (
        markdown.replace("](../", "](") if "/" not in page.file.src_uri else markdown.replace("](docs/", "](")
    )
