"""What is true of the whole system, as metrics: the fleet's work, Postgres, NATS and the disk.

The gateway asks for it when it is scraped. What a process counts of itself is in `services/metrics.py`.
"""
