"""Names that mean the same in every package."""

NONE = "none"
"""The person does nothing in particular."""

NOBODY = "nobody"
"""The answer when no sensor shows anybody."""

UNCERTAIN = "uncertain"
"""The answer when no activity is probable enough. An activity cannot have this name."""
