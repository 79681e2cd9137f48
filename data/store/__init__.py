"""Readings as they are stored: beside the files that they were read from, and in stores of their own."""
