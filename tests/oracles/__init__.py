"""A second implementation of the clear contract, written from its text alone: plain loops over fractions."""
