"""Roles that collect orders and readings: the operator and its gateways."""
