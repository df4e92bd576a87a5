"""Does one person keep one surrogate? Mentions of a client's own name in the sample bank's notes, before and after ``strip``.

Usage: python benchmarks/pii_strip.py --rows 1500

A mention of the row's own name, in any of the forms that ``propagation`` knows, is linked if the surrogate of just that form stands
in the stripped note. Counted beside it: e-mail addresses that carry the surrogate's name, keys that still join, original values left.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd

from privsynth.pii.keyed import Key
from privsynth.pii.name_words import NameWords
from privsynth.pii.names import ascii_letters
from privsynth.pii.propagation import KnownNames
from privsynth.pii.replay import text_replay
from privsynth.pii.strip import Strip

SAMPLE = Path(__file__).resolve().parents[1] / "sample_data"
PERSONAL = {"email": "EMAIL_ADDRESS", "phone": "PHONE_NUMBER", "iban": "IBAN_CODE", "national_id": "NATIONAL_ID", "client_id": "ID"}


def main() -> None:
    """Print the counts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1500)
    rows = parser.parse_args().rows
    clients = pd.read_csv(SAMPLE / "clients.csv", dtype=object).head(rows)
    transactions = pd.read_csv(SAMPLE / "transactions.csv", dtype=object)
    transactions = transactions[transactions["client_id"].isin(clients["client_id"])].reset_index(drop=True)
    key, locales = Key.fresh(), ("de_CH", "fr_CH")
    names = NameWords(key=key, locales=locales)
    begin = time.process_time()
    settings = Strip(person="client_id", locales=locales, language="en")
    result = settings.apply({"clients": clients, "transactions": transactions}, key=key, rng=np.random.default_rng(0))
    print(f"{rows} clients, {len(transactions)} transactions: {time.process_time() - begin:.1f} CPU-s")
    after = result.tables["clients"]
    mentions = linked = emails = n_emails = 0
    for old, new in zip(clients.itertuples(), after.itertuples(), strict=True):
        if isinstance(old.name, str) and isinstance(old.email, str):
            words = {ascii_letters(word) for word in new.name.split(" ")}
            n_emails += 1
            emails += bool(words & set(new.email.split("@")[0].split(" ")[0].replace("_", ".").split(".")))
        if isinstance(old.name, str) and isinstance(old.notes, str):
            for mention in KnownNames.of([old.name]).find(old.notes):
                mentions += 1
                # Letters alone: inside an e-mail address a name has no accents.
                linked += ascii_letters(names.name(old.notes[mention.start : mention.end], [old.name])) in ascii_letters(new.notes)
    print(f"mentions of the own name in notes that became the own surrogate: {linked} of {mentions}")
    print(f"e-mail addresses built from a word of the surrogate name: {emails} of {n_emails}")
    joined = len(after.merge(result.tables["transactions"], on="client_id"))
    keys = f"distinct keys {after['client_id'].nunique()} of {clients['client_id'].nunique()}"
    print(f"transactions that join: {joined} of {len(transactions)}; {keys}")
    print("original values left in notes, by column:", text_replay(clients, list(after["notes"].dropna()), PERSONAL))


if __name__ == "__main__":
    main()
