"""Time and memory of cgm, compared with other implementations, and their growth."""
