"""Differentiation and batching: from graphs to graphs, written with the primitives' builders."""
