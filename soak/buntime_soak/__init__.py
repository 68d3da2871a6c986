"""Mixed load with faults against a running product, judged by exact checkers."""
