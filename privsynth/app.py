"""The app: make a release, or audit any file, in a browser on this machine.

Widgets make a plan, ``pipeline.run`` does the work in a process of its own, and the report's summary is shown. Each
session has a temporary folder that is removed with it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

if __name__ == "__main__":
    # Streamlit puts the script's folder first on the path, where schema.py or registry.py would hide packages of that name.
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != Path(__file__).resolve().parent]

from privsynth.app_pages import audit_file, elements, make_release, sessions
from privsynth.errors import PrivSynthError

PAGES: dict[str, Callable[[sessions.Session], None]] = {"Make a release": make_release.show, "Audit any file": audit_file.show}


def main() -> None:
    """Show the app."""
    st.set_page_config(page_title="privsynth", page_icon="🔒", layout="wide")
    st.title("privsynth")
    st.caption(
        "From a confidential table to synthetic data with the evidence to sign it off. Everything stays on this machine: "
        "nothing is sent anywhere, and this session's files are removed when it ends."
    )
    session = _session()
    for tab, show in zip(st.tabs(list(PAGES)), PAGES.values(), strict=True):
        with tab:
            _guarded(show, session)
    st.divider()
    if st.button("End this session and remove its files", help="Stops running work. The ledger keeps what was spent."):
        session.close()
        st.session_state.clear()
        st.rerun()


def _guarded(show: Callable[[sessions.Session], None], session: sessions.Session) -> None:
    """A page whose errors become one line: an unexpected one may quote private data, so only its type is told."""
    try:
        show(session)
    except PrivSynthError as error:
        elements.error(f"{type(error).__name__}: {error}")
    except Exception as error:
        elements.error(f"{type(error).__name__}: an unexpected error; load the page again, or use the command line")


def _session() -> sessions.Session:
    """This visitor's session."""
    session: sessions.Session | None = st.session_state.get("session")
    if session is None or session.is_closed:
        st.session_state.clear()  # what a removed folder held is gone
        session = sessions.of_this_server().open(is_connected=_connection())
        st.session_state["session"] = session
    return session


def _connection() -> Callable[[], bool]:
    """Whether this visitor's browser is there, as the server sees it."""
    context = get_script_run_ctx()
    if context is None or not runtime.exists():
        return lambda: True
    server, name = runtime.get_instance(), context.session_id
    return lambda: server.is_active_session(name)


if __name__ == "__main__":
    main()
