"""Text of messages: numbers with singular or plural nouns."""


def plural(number: int, one: str, many: str | None = None) -> str:
    """'1 image', '2 images'; ``many`` where the plural is not ``one`` and an s."""
    return f'{number} {one if number == 1 else many or one + "s"}'
