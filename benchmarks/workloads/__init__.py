"""Whole workloads: the same networks and kernels in each framework, one file a framework."""
