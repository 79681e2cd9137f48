"""A peer in another language against ours."""
