"""Who did what, kept in the store as long as the options say."""
