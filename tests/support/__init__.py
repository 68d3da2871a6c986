"""What several test folders need: live servers, and little else."""
