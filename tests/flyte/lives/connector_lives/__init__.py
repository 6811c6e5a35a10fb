"""Lives of tasks under a connector that is killed all the time, and what became of their jobs."""
