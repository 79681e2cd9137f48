"""The interface to HiGHS: model compiler, session, certificate, rounding."""
