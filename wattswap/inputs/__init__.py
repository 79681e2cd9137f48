"""Readers of user input: all problems are collected and raised at once."""
