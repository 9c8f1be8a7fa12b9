"""The checker: was everything that clients were told kept, and did nobody ever hold what another held?

It reads a folder of evidence and shares no code with what it checks: events it knows by their names and
fields alone.
"""

from services.prove.checker.check import Report, check
from services.prove.checker.findings import Finding

__all__ = ["Finding", "Report", "check"]
