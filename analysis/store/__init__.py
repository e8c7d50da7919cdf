"""What was measured, kept: trials, the plan in force, sensitivity points, findings. SQLite or PostgreSQL.

Everything is written the moment it is known, so that a refresh, a crash or a restart loses nothing.
"""

from analysis.store.database import StoreError
from analysis.store.store import Store
from analysis.store.subjects import Subject, digests, subject

__all__ = ["Store", "StoreError", "Subject", "digests", "subject"]
