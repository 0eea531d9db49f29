"""Metadata in Firestore: records of ``common.model``, one collection object each. Imports nothing."""
