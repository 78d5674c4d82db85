"""The command line as `python -m cgm`."""

import sys

if __name__ == "__main__":
    # Python puts the current folder first, where a file such as pandas.py, beside the data of others, would be run
    if not (getattr(sys.flags, "safe_path", False) or sys.flags.isolated):
        del sys.path[0]

    from cgm.cli.main import main

    main()
