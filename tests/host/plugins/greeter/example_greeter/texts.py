"""A second module, to show that files of a plugin can import each other."""


def greet(greeting: str, name: str) -> str:
    """One sentence of greeting."""
    return f"{greeting}, {name}!"
