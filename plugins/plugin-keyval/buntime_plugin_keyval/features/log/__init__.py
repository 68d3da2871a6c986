"""Who follows the change log."""
