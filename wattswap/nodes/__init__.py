"""Nodes that stand by themselves: their folders, their configuration, what they run."""
