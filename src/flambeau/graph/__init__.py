"""Programs as data: types, primitives, nodes, graphs, and the builder that makes them."""
