"""Stand-ins for Pulumi's Python language host and policy analyzer, and the launchers that the engine starts."""
