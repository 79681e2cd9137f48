"""One HTML file that tells what a run or a comparison came to; figures and sentences know only a `Story`."""
