"""Full and unwritable disks: one clear line that names the folder, and what is finished stays."""

import os
import resource
import signal
import subprocess

import pytest

from music.errors import InputError
from music.pool import Pool
from tests.music import fill_with_noise
from tests.music.folder_state import contents

PROMPTS, N = 2, 20


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return the files of a run on a good disk."""
    folder = tmp_path_factory.mktemp("whole")
    fill_with_noise.fill(folder, PROMPTS, N)
    return contents(folder)


@pytest.fixture
def small_disk(tmp_path):
    """Mount a disk of 300 kB; some ten clips fit."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting a small disk takes root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk(small_disk, whole):
    with pytest.raises(InputError, match=r"cannot write .*disk.*No space left on device") as caught:
        fill_with_noise.fill(small_disk / "pool", PROMPTS, N)
    assert "\n" not in str(caught.value)
    pool = Pool(small_disk / "pool")
    finished = len(pool)
    assert finished > 3
    pool.verify()
    assert not list(small_disk.rglob(".tmp-*"))
    subprocess.run(["mount", "-o", "remount,size=10m", str(small_disk)], check=True)
    assert fill_with_noise.fill(small_disk / "pool", PROMPTS, N) == PROMPTS * N - finished
    assert contents(small_disk / "pool") == whole


@pytest.mark.parametrize("limit", [0, 50, 3000, 17_000])
def test_a_file_that_cannot_grow(tmp_path, limit, whole):
    """Writes fail at once, and in the middle of the spec, of tokens, of the table."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            fill_with_noise.fill(tmp_path / "pool", PROMPTS, N)
            code = 0
        except InputError as error:
            code = 2 if str(tmp_path / "pool") in str(error) else 3
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
    Pool(tmp_path / "pool", create=True).verify()
    fill_with_noise.fill(tmp_path / "pool", PROMPTS, N)
    assert contents(tmp_path / "pool") == whole


@pytest.mark.parametrize("blocked", ["", "audio", "tokens", "specs"])
def test_a_file_where_a_folder_should_be(tmp_path, blocked):
    place = tmp_path / "pool" / blocked
    place.parent.mkdir(exist_ok=True)
    place.write_text("in the way")
    with pytest.raises(InputError, match="cannot write") as caught:
        fill_with_noise.fill(tmp_path / "pool", 1, 1)
    assert str(place) in str(caught.value)
    assert place.read_text() == "in the way"


def test_a_folder_without_write_permission(tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir()
    if os.geteuid() == 0:  # permissions do not bind root; an immutable folder does
        if subprocess.run(["chattr", "+i", str(folder)], capture_output=True).returncode != 0:
            pytest.skip("this file system cannot make a folder immutable")
        restore = ["chattr", "-i", str(folder)]
    else:
        folder.chmod(0o500)
        restore = ["chmod", "700", str(folder)]
    try:
        with pytest.raises(InputError, match=r"cannot write .*locked.*(not permitted|Permission denied)"):
            fill_with_noise.fill(folder / "pool", 1, 1)
    finally:
        subprocess.run(restore, check=True)
