"""Label-free acceptance of a purified encoder: what is kept of the old one, and what is gone."""
