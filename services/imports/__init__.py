"""Work taken over from other trackers."""
