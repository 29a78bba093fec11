"""The primitives, one definition each, a file per family, and their node-level builders."""
