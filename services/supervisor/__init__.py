"""`coordctl up`: the servers and services of one data directory, kept running until told to stop."""

from services.supervisor.supervisor import StartFailed, Supervisor

__all__ = ["StartFailed", "Supervisor"]
