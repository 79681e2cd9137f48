"""One HTML report of a run or a comparison; figures and sentences depend on a `Story` only."""
