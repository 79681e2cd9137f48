"""Verification of a run folder: what each file must be, by its chain, its blobs and its scenario; what is free."""
