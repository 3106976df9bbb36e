"""What ``clean`` does to a line or pair on its own: normalise it, measure it, leave it out for a counted reason."""
