"""Every operator as WebAssembly in node, bit for bit what it computes here: `make test-wasm`."""

import sys

from calls import differing
from in_node import MissingError, command
from oracle import FOLDERS, all_cases
from rich.console import Console
from rich.table import Table


def main() -> int:
    """Print the table; 1 if a bit is different."""
    table, wrong = Table("operator", "cases with equal bits"), 0
    try:
        node = command()
    except MissingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 4
    for op in FOLDERS:
        calls = [(name, case) for name, case in all_cases() if name == op]
        different = differing(node, calls, threads=1)
        wrong += len(different)
        table.add_row(op, f"{len(calls) - len(different)} of {len(calls)}")
        for name in different:
            print(f"{op}, {name}: other bits", file=sys.stderr)
    Console().print(table)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
