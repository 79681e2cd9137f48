"""A seeded simulation of consensus with faults and byzantine validators; for tests, not in the wheel."""
