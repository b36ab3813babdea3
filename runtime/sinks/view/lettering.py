"""The name of an activity in large letters."""

from __future__ import annotations

import unicodedata

_SHAPES = (  # of the letters: five rows of three pixels, a row an octal digit
    "00000 25755 65656 34443 65556 74647 74644 34553 55755 72227 11152 55655 44447 57755 "
    "65555 25552 65644 25571 65655 34216 72222 55557 55552 55775 55255 55222 71247"
)
_LETTERS = dict(zip(" ABCDEFGHIJKLMNOPQRSTUVWXYZ", _SHAPES.split()))


def large(text: str, width: int) -> str:
    """Returns the text three lines high.

    Where that does not fit, or a letter is missing, the text is written in spaced capitals. Scripts whose letters join
    and signs made of several characters are not spaced.
    """
    text = text.upper()
    if not set(text) <= set(_LETTERS) or 4 * len(text) > width:
        joins = any(unicodedata.category(character) in ("Lo", "Mn", "Mc", "Me", "Cf") for character in text)
        spaced = "  ".join(" ".join(word) for word in text.split())
        return f"\n{text if joins or len(spaced) > width else spaced}\n"
    rows = [" ".join(f"{int(_LETTERS[letter][row]):03b}" for letter in text) for row in range(5)]
    rows = [row.replace("0", " ").replace("1", "█") for row in [*rows, "0" * len(rows[0])]]
    blocks = {"  ": " ", "█ ": "▀", " █": "▄", "██": "█"}
    lines = zip(rows[::2], rows[1::2])
    return "\n".join("".join(blocks[above + below] for above, below in zip(*line)) for line in lines)
