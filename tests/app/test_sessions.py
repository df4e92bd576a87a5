"""Sessions: folders for one visitor alone, work that can be stopped, nothing left behind."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from privsynth.app_pages import sessions
from privsynth.app_pages.sessions import PREFIX, Sessions

CSV = "person,age,mail\n" + "".join(f"{i},{20 + i % 50},p{i}@example.org\n" for i in range(200))


@pytest.fixture
def server(tmp_path):
    made = Sessions(tmp_path)
    yield made
    made.close()


def upload(session, text=CSV) -> Path:
    path = session.new_folder("upload") / "table.csv"
    path.write_text(text)
    return path


def propose(session, path: Path):
    return session.start("propose", {"job": "propose", "data": str(path), "toml": None})


def test_folders_are_for_their_owner_only(server):
    session = server.open()
    for folder in (server.folder, session.folder, session.new_folder("run")):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_two_sessions_share_nothing(server):
    one, two = server.open(), server.open()
    path = upload(one)
    assert one.folder not in two.folder.parents
    assert not list(two.folder.rglob("*"))
    one.close()
    assert not path.exists()
    assert two.folder.exists()


def test_work_tells_its_progress_and_its_result(server):
    session = server.open()
    job = propose(session, upload(session))
    job.wait(60)
    assert [message["stage"] for message in job.stages] == ["read", "scan for personal data"]
    assert job.error is None
    assert {finding["column"]: finding["pii"] for finding in job.result["findings"]}["mail"] == "EMAIL_ADDRESS"
    assert Path(job.result["toml"]).exists()


def test_an_error_of_the_library_is_one_line_without_a_cell(server):
    session = server.open()
    job = session.start("release", {"job": "release", "ledger": "/", "form": {}, "internal": ""})
    job.wait(60)
    assert job.error.startswith("LedgerError: ")
    assert "\n" not in job.error
    assert job.result is None


def test_an_unexpected_error_shows_its_type_alone(server):
    session = server.open()
    job = session.start("propose", {"job": "propose", "secret": "Zebulon"})
    job.wait(60)
    assert job.error.startswith("KeyError: an unexpected error")
    assert "Zebulon" not in job.error


def test_cancelled_work_ends_and_says_nothing_wrong(server):
    session = server.open()
    job = propose(session, upload(session))
    assert job.is_running
    job.cancel()
    job.wait(30)
    assert not job.is_running
    assert (job.result, job.error) == (None, None)


def test_killed_work_is_an_error_in_words(server):
    session = server.open()
    job = propose(session, upload(session))
    job._process.kill()
    job.wait(30)
    assert "ended from outside" in job.error


def test_closing_a_session_stops_its_work(server):
    session = server.open()
    job = propose(session, upload(session))
    session.close()
    assert not job.is_running
    assert not session.folder.exists()


def test_a_session_ends_when_its_browser_stays_away(server):
    here = True
    session, other = server.open(is_connected=lambda: here), server.open()
    server.close_abandoned(grace=0.0)
    assert not session.is_closed
    here = False
    session.last_seen = time.monotonic() - 1
    server.close_abandoned(grace=60.0)
    assert not session.is_closed  # a lost connection may come back
    server.close_abandoned(grace=0.5)
    assert session.is_closed
    assert not session.folder.exists()
    assert not other.is_closed


def test_what_a_killed_server_left_is_removed_and_a_living_one_is_left_alone(tmp_path):
    pytest.importorskip("fcntl", reason="no file locks on this system")
    code = (
        "import os, pathlib, sys; from privsynth.app_pages.sessions import Sessions; "
        "print(Sessions(pathlib.Path(sys.argv[1])).open().folder, flush=True); os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    left = Path(killed.stdout.strip())
    assert left.exists()
    living = Sessions(tmp_path)
    session = living.open()
    newest = Sessions(tmp_path)
    assert not left.exists()
    assert session.folder.exists()
    living.close()
    newest.close()
    assert not list(tmp_path.glob(f"{PREFIX}*"))


def test_a_link_that_poses_as_a_left_over_folder_is_not_followed(tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "server.lock").touch()
    (tmp_path / f"{PREFIX}x").symlink_to(precious)
    sessions.remove_stale(tmp_path)
    assert (precious / "server.lock").exists()


def test_work_cannot_be_led_to_import_an_upload(server):
    session = server.open()
    (session.folder / "json.py").write_text("raise SystemExit(7)")
    job = session.start("propose", {"job": "propose"})
    job.wait(60)
    assert job.error.startswith("KeyError")  # it came as far as reading the request


def test_work_keeps_its_temporary_files_in_the_session(server):
    session = server.open()
    job = propose(session, upload(session))
    environment = Path(f"/proc/{job._process.pid}/environ")
    if not environment.exists():
        pytest.skip("no /proc on this system")
    time.sleep(0.2)
    assert f"TMPDIR={session.folder}".encode() in environment.read_bytes().split(b"\0")
    job.end()
    assert os.environ.get("TMPDIR") != str(session.folder)
