"""Command line of the reproduction."""

import sys

from experiments.paper import check, program

if __name__ == "__main__":
    if sys.argv[1:2] == ["check"]:
        del sys.argv[1]
        check.main()
    else:
        program.main()
