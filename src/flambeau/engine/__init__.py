"""Recording, plans and evaluation: what happens between a line of user code and a program."""
