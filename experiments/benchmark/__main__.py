"""Command line of the benchmark."""

from experiments.benchmark.program import main

if __name__ == "__main__":
    main()
