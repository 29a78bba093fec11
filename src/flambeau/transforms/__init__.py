"""Functions of functions: derivatives, batching, control flow, and programs recorded once."""
