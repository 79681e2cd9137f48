"""What goes over the wire: canonical encoding, frames, identities, keys, signed messages."""
