"""Mail as text: reading and writing MIME, addresses, HTML. Pure: no network, no store, no clock. Imports nothing."""
