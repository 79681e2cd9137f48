"""Trades between pairs of agents with quadratic costs: the exact optimum, its proof, and negotiation by messages."""
