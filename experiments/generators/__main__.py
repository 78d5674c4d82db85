"""Command line of the evaluation of a generator."""

from experiments.generators.evaluate import main

if __name__ == "__main__":
    main()
