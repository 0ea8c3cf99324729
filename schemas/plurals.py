"""Numbers with their nouns, as people read them: `1 row`, `2,000 rows`."""


def counted(number: int, things: str) -> str:
    """The number and its noun; `things`: the noun in the plural, perhaps with words after it, as `streams parked`."""
    noun, _, rest = things.partition(" ")
    word = noun if number != 1 else f"{noun[:-3]}y" if noun.endswith("ies") else noun.removesuffix("s")
    return f"{number:,} {word} {rest}".rstrip()
