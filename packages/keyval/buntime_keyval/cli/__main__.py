"""`python -m buntime_keyval.cli`: the commands where `buntime` is not installed."""

from buntime_keyval.cli import kv

if __name__ == "__main__":
    kv(prog_name="python -m buntime_keyval.cli")
