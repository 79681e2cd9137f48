"""Consensus without I/O; `sign_state.py` alone touches a disk. Times, secrets and keys are arguments."""
