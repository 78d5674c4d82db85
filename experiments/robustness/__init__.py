"""Whether the scheme can be gamed, and by which choices that is prevented."""
