"""The public functions: each records one entry on the thread's tape."""
