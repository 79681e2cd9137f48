"""The sections of a report, one file each; a file here is found by itself."""
