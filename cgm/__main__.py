"""The command line as `python -m cgm`."""

from cgm.cli.main import main

if __name__ == "__main__":
    main()
