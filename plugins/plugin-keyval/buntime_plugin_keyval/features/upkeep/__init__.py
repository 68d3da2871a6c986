"""What brings the data of older versions up to date."""
