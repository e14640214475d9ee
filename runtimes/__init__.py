"""What goes into the containers. Nothing here imports anything of the rest of the repository."""
