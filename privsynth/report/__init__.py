"""Judging a release and showing it: policy, one dict, rendered editions."""
