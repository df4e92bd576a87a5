"""``streamlit run app.py``: the app, from a clone of the repository."""

from privsynth.app import main

main()
