"""What a run promises before it trains, and how often these people have judged releases.

The coins of the split, the list of attacks and the hash of the policy are committed in the ledger before anything is fitted, and opened
in the run's internal folder. Each release that is audited is one more use of what held-out people can tell: later plans may have been
chosen by earlier results, however freshly each split is drawn.
"""

from __future__ import annotations

import numpy as np

from privsynth import stages
from privsynth.audit import density, membership, text_replay
from privsynth.audit.attacks import BLANKS
from privsynth.audit.commitment import Opening, coins_of, count_holdout_uses
from privsynth.audit.one_run import ONE_RUN
from privsynth.dataset import Dataset
from privsynth.privacy import Ledger
from privsynth.stages import RunFolder

ATTACKS = tuple(blank.audit for blank in (*BLANKS, density.EDGE, membership.EARLIER, *text_replay.BLANKS, ONE_RUN))
"""Every attack of a run; the edge-restricted one needs a graphical model, the two-release one a plan that names an earlier
release, those on texts a release with texts."""

COMMITMENT = "commitment.json"
"""What opens the commitment, among the internal files."""


def commit(run: RunFolder, ledger: Ledger, dataset: Dataset, *, policy_sha256: str) -> Opening:
    """Write the digest of split, attacks and policy to the ledger, once for a run, before anything is fitted.

    Stored before it is written to the ledger: whoever resumes a run opens what the first attempt committed to.
    """
    if not run.finished("commitment"):
        with run.reading("split") as stored:
            parts = np.load(stored / "parts.npy", allow_pickle=False)
        drawn = Opening.of(coins_of(parts, dataset.units()), ATTACKS, policy_sha256)
        with run.writing("commitment") as draft:
            stages.save_values(drawn, draft / COMMITMENT)
    with run.reading("commitment") as stored:
        opening = stages.load_values(Opening, stored / COMMITMENT)
    digest = opening.commitment.digest
    if not any(entry.kind == "commitment" and entry.body.get("digest") == digest for entry in ledger.entries()):
        body = {"id": run.facts.event_id, "digest": digest, "attacks": list(opening.attacks), "policy": policy_sha256}
        ledger.note(run.facts.dataset, "commitment", body)
    return opening


def use_holdout(run: RunFolder, ledger: Ledger) -> int:
    """Write down that held-out people are about to judge this release; returns how many releases they have judged, this one included."""
    own = [(entry.kind, entry.body) for entry in ledger.entries() if entry.population == run.facts.dataset]
    if not any(kind == "audit" and body["id"] == run.facts.event_id for kind, body in own):
        body = {"id": run.facts.event_id}
        ledger.note(run.facts.dataset, "audit", body)
        own.append(("audit", body))
    return count_holdout_uses(own)
