"""What a compiled program runs on: memory, threads, and the native driver."""
