"""The audit log, kept in the store for as long as the options say."""
