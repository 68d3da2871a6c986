"""Subcommands of `buntime` that this plugin adds."""
