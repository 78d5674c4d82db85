"""Run the command line by `python -m cgm`."""

from cgm.cli.main import main

if __name__ == "__main__":
    main()
