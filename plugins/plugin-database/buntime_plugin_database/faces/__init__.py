"""What clients reach over the network: the JSON API and Hrana, and what both ask of a request."""
