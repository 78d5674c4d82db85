"""Command line of the reproduction."""

from experiments.paper.program import main

if __name__ == "__main__":
    main()
