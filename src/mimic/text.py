"""Text that came out of a file, made fit to be shown."""


def printable(text: str) -> str:
    """The same without characters that would steer a terminal, which are told as escapes."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
