"""Attacks on a release, with the controls and floors that say what their silence is worth."""

from privsynth.audit.base import AuditResult, AuditRun, ControlResult, flagged
from privsynth.audit.runner import run

__all__ = ["AuditResult", "AuditRun", "ControlResult", "flagged", "run"]
