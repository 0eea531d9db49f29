"""An embedded Firestore: a gRPC server that speaks google.firestore.v1 for exactly what the store uses.

Everything else answers UNIMPLEMENTED. Unlike Google's emulator it enforces indexes and the documented limits, and its
transactions are optimistic. Owns documents in memory only; imports nothing of ``common``.
"""

from local.firestore.indexes import IndexList
from local.firestore.server import FirestoreServer

__all__ = ["FirestoreServer", "IndexList"]
