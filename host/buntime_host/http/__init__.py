"""What requests and answers are to the host and to plugins, whatever way they come."""
