"""`kv`, or `python -m buntime_keyval.cli.direct`."""

import logging
import sys


def main() -> None:
    """Run a command, or say which part of the package is missing."""
    try:
        from buntime_keyval.cli.direct.group import kv
    except ModuleNotFoundError as error:
        if error.name not in ("click", "rich"):
            raise
        sys.exit(
            f"The command line needs {error.name}, which is not installed:"
            " pip install 'buntime-keyval[cli]'"
        )
    # What a store logs of its failures is told once, as the failure of the command.
    logging.getLogger().addHandler(logging.NullHandler())
    kv(prog_name="kv")


if __name__ == "__main__":
    main()
