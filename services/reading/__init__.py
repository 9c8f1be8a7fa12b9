"""Reading the read models, as they are and as they were at any point, and what differs between points."""
