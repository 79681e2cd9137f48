"""Property-based testing of mechanisms: random books, declared properties, misreports, minimal counterexamples."""
