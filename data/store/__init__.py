"""A store of meter readings: a folder of immutable Parquet files and the manifest that says which of them count."""
