"""The same deployment on one machine: stand-ins, node and the session that runs them."""
