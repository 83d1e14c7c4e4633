"""Breaking things on purpose: builds that are disturbed in every way, and must end as if nothing had happened."""
