"""The one door to HiGHS, the compiler in front of it, and the check of what comes out."""
