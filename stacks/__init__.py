"""The stacks' files and the typed model of them."""
