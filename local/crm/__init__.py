"""The demo CRM: its JWT issuer, its people and directory, and its web page."""
