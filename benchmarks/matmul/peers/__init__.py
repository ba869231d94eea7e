"""How each engine multiplies; a file an engine, each with `candidates(task, threads)`."""
