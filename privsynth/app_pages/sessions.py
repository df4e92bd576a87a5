"""One visitor: a temporary folder of their own, and work in processes of their own.

The folders of one server lie in one folder of mode 0700, held by a lock as long as the server lives: what a killed
server left behind is removed when the next one starts. A session ends when its browser has been gone for
``GRACE_SECONDS``, when the person ends it, or with the server; its processes are stopped and its folder removed.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

PREFIX = "privsynth-app-"
GRACE_SECONDS = 120.0
"""How long a browser may be away (a sleeping laptop, a lost connection) before its files are removed."""

STOP_SECONDS = 10.0
"""How long a cancelled process may take to put things in order before it is killed."""

_LOCK = "server.lock"


class Job:
    """One piece of work in a process of its own.

    The process is asked to stop by closing its standard input, which also happens when the server dies.
    """

    def __init__(self, request: Mapping[str, Any], *, folder: Path) -> None:
        self.started = time.monotonic()
        self.cancelled = False
        self._lock = threading.Lock()
        self._messages: list[dict[str, Any]] = []
        # -P: the folder holds what a stranger uploaded and must not be importable
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "privsynth.app_pages.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env={**os.environ, "TMPDIR": str(folder)},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input = self._process.stdin
        self._input.write(json.dumps(request).encode() + b"\n")
        self._input.flush()
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()

    @property
    def is_running(self) -> bool:
        """Whether the process is at work or its last words are still being read."""
        return self._process.poll() is None or self._reader.is_alive()

    @property
    def stage(self) -> dict[str, Any] | None:
        """The last report on progress: ``stage``, ``done``, ``total``."""
        return next((message for message in reversed(self._seen()) if "stage" in message), None)

    @property
    def stages(self) -> list[dict[str, Any]]:
        """All reports on progress so far."""
        return [message for message in self._seen() if "stage" in message]

    @property
    def warnings(self) -> list[str]:
        """What the work warned of."""
        return [message["warning"] for message in self._seen() if "warning" in message]

    @property
    def result(self) -> dict[str, Any] | None:
        """What the work came to; None while it runs, if it failed, and if it was cancelled."""
        return next((message["result"] for message in self._seen() if "result" in message), None)

    @property
    def error(self) -> str | None:
        """Why it failed, in one line; None while it runs, if it went well, and if it was cancelled."""
        if self.is_running or self.cancelled or self.result is not None:
            return None
        said = next((str(message["error"]) for message in self._seen() if "error" in message), None)
        return said or "The work was ended from outside, perhaps for want of memory; close other programs, then try again."

    def cancel(self) -> None:
        """Ask the process to stop, and kill it if it does not."""
        if self._process.poll() is None and not self.cancelled:
            self.cancelled = True
            _close(self._input)
            threading.Thread(target=self._kill_if_late, daemon=True).start()

    def wait(self, seconds: float | None = None) -> None:
        """Block until the work is done, or time is up."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return
        self._reader.join(seconds)

    def end(self) -> None:
        """Stop at once, leaving no process behind."""
        self.cancel()
        self._kill_if_late()
        self._reader.join(STOP_SECONDS)
        _close(self._input)

    def _seen(self) -> list[dict[str, Any]]:
        with self._lock:
            return list(self._messages)

    def _read(self, lines: IO[bytes]) -> None:
        with lines:
            for line in lines:
                message = json.loads(line)
                with self._lock:
                    self._messages.append(message)

    def _kill_if_late(self) -> None:
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Session:
    """One visitor's folder, and their work by name; nobody else's session refers to it."""

    def __init__(self, folder: Path, *, is_connected: Callable[[], bool] = lambda: True) -> None:
        self.folder = folder
        self.is_connected = is_connected
        self.is_closed = False
        self.last_seen = time.monotonic()
        self.jobs: dict[str, Job] = {}
        self._made = 0

    def new_folder(self, name: str) -> Path:
        """An empty folder inside the session's."""
        self._made += 1
        path = self.folder / f"{name}-{self._made}"
        path.mkdir(mode=0o700)
        return path

    def start(self, name: str, request: Mapping[str, Any]) -> Job:
        """Start a piece of work; an earlier one of this name is stopped."""
        if name in self.jobs:
            self.jobs[name].end()
        self.jobs[name] = Job(request, folder=self.folder)
        return self.jobs[name]

    def close(self) -> None:
        """Stop the work and remove the folder."""
        self.is_closed = True
        for job in self.jobs.values():
            job.end()
        shutil.rmtree(self.folder, ignore_errors=True)


class Sessions:
    """All sessions of this server."""

    def __init__(self, parent: Path) -> None:
        remove_stale(parent)
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        self._lock = _locked(self.folder / _LOCK)
        self._open: list[Session] = []
        self._guard = threading.Lock()
        atexit.register(self.close)

    def open(self, *, is_connected: Callable[[], bool] = lambda: True) -> Session:
        """A new session with a folder of its own."""
        session = Session(Path(tempfile.mkdtemp(prefix="session-", dir=self.folder)), is_connected=is_connected)
        with self._guard:
            self._open.append(session)
        return session

    def close_abandoned(self, *, grace: float = GRACE_SECONDS) -> None:
        """Close the sessions whose browser has been away for more than ``grace`` seconds."""
        now = time.monotonic()
        with self._guard:
            sessions = list(self._open)
        for session in sessions:
            if session.is_connected():
                session.last_seen = now
            elif now - session.last_seen > grace:
                session.close()
        with self._guard:
            self._open = [session for session in self._open if not session.is_closed]

    def watch(self, *, every: float = 5.0) -> None:
        """Look for abandoned sessions as long as the server lives."""

        def look() -> None:
            while True:
                time.sleep(every)
                self.close_abandoned()

        threading.Thread(target=look, name="privsynth sessions", daemon=True).start()

    def close(self) -> None:
        """End all sessions and remove the server's folder."""
        for session in self._open:
            session.close()
        self._open = []
        self._lock.close()
        shutil.rmtree(self.folder, ignore_errors=True)


@functools.cache
def of_this_server() -> Sessions:
    """The sessions of this process, made with the first one; abandoned ones are closed from then on."""
    sessions = Sessions(Path(tempfile.gettempdir()))
    sessions.watch()
    return sessions


def remove_stale(parent: Path) -> None:
    """Remove what killed servers of this user left behind: folders whose lock nobody holds."""
    for folder in parent.glob(f"{PREFIX}*"):
        lock = folder / _LOCK
        if folder.is_symlink() or not lock.is_file() or (hasattr(os, "getuid") and folder.stat().st_uid != os.getuid()):
            continue
        held = _locked(lock)
        if held is not None:
            shutil.rmtree(folder, ignore_errors=True)
            held.close()


def _locked(path: Path) -> Any:
    """The file with an exclusive lock on it, which ends with its process; None if another process holds it."""
    try:
        import fcntl
    except ImportError:  # no such lock on Windows: nothing is taken for stale there
        return None if path.exists() else path.open("w")
    file = path.open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def _close(stream: IO[bytes]) -> None:
    try:
        stream.close()
    except BrokenPipeError:
        pass  # the process ended before it read everything: closing is all that was wanted
