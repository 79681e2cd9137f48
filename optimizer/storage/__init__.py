"""A battery that a community has in common: its best plan and what proves it, simple rules, and what it saves."""
