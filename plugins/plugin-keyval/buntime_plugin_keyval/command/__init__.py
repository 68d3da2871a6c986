"""What this plugin adds to the command `buntime`."""
