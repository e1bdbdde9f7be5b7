"""A folder to work in as the pages do, in which the hub gives small models by their published names."""

import json
import re
import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, blocks
from tests.docs.program import Program
from tests.reward.training_runs import write_pairs
from tests.tiny_audiobox import build_tiny_audiobox, small_wavlm
from tests.tiny_clap import build_tiny_clap
from tests.tiny_musicgen import build_tiny_musicgen
from tests.tiny_stable_audio import build_tiny_stable_audio

SCORING = ROOT / "tests" / "data" / "scoring"
#: what the hub would give: a function that writes it into a folder, or where it lies
MODELS = {
    "facebook/musicgen-small": build_tiny_musicgen,
    "stabilityai/stable-audio-open-1.0": build_tiny_stable_audio,
    "laion/clap-htsat-unfused": build_tiny_clap,
    "facebook/audiobox-aesthetics": build_tiny_audiobox,
    "HaiwenXia/CMI-RM": SCORING / "sa_plain",
    "OpenMuQ/MuQ-MuLan-large": SCORING / "mulan-tiny",
}
MUSICCAPS = """\
ytid,start_s,end_s,audioset_positive_labels,aspect_list,caption,author_id,is_balanced_subset,is_audioset_eval
a,30,40,/m/1,"['slow', 'jazz']",A slow jazz tune with brushes.,4,True,True
b,30,40,/m/1,"['rock']",A rock song.,4,True,True
c,30,40,/m/1,"['drone']",A drone.,4,False,False
d,30,40,/m/1,"['folk']",A folk song.,4,False,False
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """Return where the small model of a published name lies, made when it is first asked for."""
    folder = tmp_path_factory.mktemp("hub")
    (folder / "musiccaps-public.csv").write_text(MUSICCAPS)

    def get(name, **_):
        if name == "google/MusicCaps":
            return str(folder)
        model = MODELS[name]
        place = model if isinstance(model, Path) else folder / name.replace("/", "--")
        return str(place if place.exists() else model(place))

    with ExitStack() as stack:
        stack.enter_context(small_wavlm())
        patches = stack.enter_context(pytest.MonkeyPatch.context())
        patches.setattr("huggingface_hub.snapshot_download", get)
        yield get


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """Return what `make demo` leaves, with clips of 1 s for two prompts."""
    output = tmp_path_factory.mktemp("demo") / "demo"
    options = ["--n", "10", "--prompts", "lab-held-out", "--judges", "experiments.lab.gold:GoldB"]
    Program(
        "scaling/best_of_n.py", [*options, "--limit", "2", "--seconds", "1", "--output", str(output)]
    ).run()
    return output


@pytest.fixture
def workspace(tmp_path, monkeypatch, hub, demo):
    """Work in a folder that has what the pages take for granted: a clone, the demo, data in their published layouts."""
    monkeypatch.chdir(tmp_path)
    for name in ("experiments", "requirements", "Makefile", "pyproject.toml"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copytree(demo, tmp_path / "runs" / "demo")
    write_data(tmp_path)
    for name, text in named_files().items():
        (tmp_path / name).write_text(text)
    return tmp_path


def named_files() -> dict[str, str]:
    """Return the Python files that pages show, whose first line is their name."""
    shown = [block.text for page in PAGES for block in blocks(page) if block.language == "python"]
    return {text.split()[1]: text for text in shown if re.match(r"# \w+\.py\n", text)}


def write_data(folder: Path) -> None:
    """Write clips, rows and prompts, and small published sets that share them."""
    clips = folder / "clips"
    write_pairs(clips / "rows.jsonl", 24, 1)
    pairs = [json.loads(line) for line in (clips / "rows.jsonl").read_text().splitlines()]
    for index, row in enumerate(pairs):
        row |= {name: f"clips/{row[name]}" for name in ("audio_a", "audio_b")} | {"reference": ""}
        row["text"] = f"{row['text']} {index // 2}"
    prompt_fields = ("id", "text", "lyrics", "reference")
    write_rows(
        folder / "pairs.jsonl", [{k: row[k] for k in (*prompt_fields, "audio_a", "audio_b")} for row in pairs]
    )
    shutil.copy(folder / pairs[0]["audio_a"], folder / "clip.flac")
    shutil.copytree(SCORING / "audio", folder / "clips", dirs_exist_ok=True)
    write_rows(
        folder / "in.jsonl",
        [{"id": name, "audio": f"clips/{name}.flac", "text": "pop"} for name in ("a0", "a1")],
    )
    (folder / "prompts.txt").write_text("a folk ballad\na slow waltz\n")
    (folder / "held_out.txt").write_text("a fast march\nan old hymn\n")
    write_rows(folder / "rows.jsonl", pairs)
    for name, part in (("CMI-Pref-Pseudo", pairs[:8]), ("CMI-Pref", pairs[8:20])):
        write_parquet(folder / name / "train.parquet", [in_cmi_layout(row, "train") for row in part])
    rating = {
        "source": "PAM",
        "split": "test",
        "audio-path": "../clips/a0.flac",
        "prompt": "pop",
        "musicality": "3.5",
    }
    battle = {"source": "Music Arena", "split": "test", "prompt": "a battle", "preference": "A"}
    battle |= {"audio-path": "../clips/a1.flac", "audio2": "../clips/a2.flac"}
    write_rows(
        folder / "CMI-RewardBench" / "all_test.jsonl",
        [*(in_cmi_layout(row, "test") for row in pairs[20:]), rating, battle],
    )
    write_music_eval(folder / "MusicEval-full", folder / "clips")


def in_cmi_layout(row: dict, split: str) -> dict[str, str]:
    """Return a pair as CMI-Pref has it, in a folder beside the clips."""
    found = {
        "source": "cmi-arena-annotation",
        "prompt": row["text"],
        "lyrics": row["lyrics"],
        "ref-audio-path": "",
    }
    found |= {"audio-path": f"../{row['audio_a']}", "audio2": f"../{row['audio_b']}"}
    labels = {
        f"preference-{head}": f"model_{row['preference_musicality']}" for head in ("musicality", "alignment")
    }
    return found | labels | {"split": split}


def write_music_eval(folder: Path, clips: Path) -> None:
    """Write MusicEval as it is published."""
    for name in ("sets", "wav"):
        (folder / name).mkdir(parents=True)
    rows = []
    for number, clip in enumerate(("a3", "a5"), start=1):
        file = f"audiomos2025-track1-S002_P00{number}.wav"
        shutil.copy(clips / f"{clip}.flac", folder / "wav" / file)
        rows.append(f"{file},{1.5 + number},3.5")
    (folder / "sets" / "train_mos_list.txt").write_text("\n".join(rows) + "\n")
    (folder / "prompt_info.txt").write_text("id\ttext\nP001\trock\nP002\twaltz\n")
    (folder / "demo_prompt_info.txt").write_text("id\ttext\n")


def write_rows(path: Path, rows: list[dict]) -> None:
    """Write JSON Lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_parquet(path: Path, rows: list[dict]) -> None:
    """Write a table."""
    import pyarrow
    from pyarrow import parquet

    path.parent.mkdir(parents=True)
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
