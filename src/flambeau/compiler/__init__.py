"""From a graph to machine code: partition, kernels, lowering to LLVM IR, memory plan, disk cache."""
