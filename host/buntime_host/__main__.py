"""`python -m buntime_host` is the `buntime` command."""

from buntime_host.cli import main

main()
