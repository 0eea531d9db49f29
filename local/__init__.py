"""A Google and a CRM on one machine: stand-ins that speak the real wire protocols.

Never deployed, never imported by the product.
"""
