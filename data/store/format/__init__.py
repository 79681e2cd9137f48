"""What the store registers among the formats of meter data, so that every place that reads a file takes a store."""
