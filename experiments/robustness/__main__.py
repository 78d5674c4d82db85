"""Command line of the study of attacks."""

from experiments.robustness.program import main

if __name__ == "__main__":
    main()
