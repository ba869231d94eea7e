"""`python -m smalti.export`: the `smalti` command where scripts are not installed."""

from smalti.export.cli import main

if __name__ == "__main__":
    main(prog_name="smalti")
