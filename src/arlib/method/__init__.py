"""The method: Eq. 1, 2 and 3 and Algorithm 1, as arithmetic on arrays."""
