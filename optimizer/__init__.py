"""Clearing with a solver: Pyomo models written once, compiled to arrays, re-solved hot by HiGHS."""
