"""Names that mean the same in every package."""

NONE = "none"
"""The person does nothing in particular."""

NOBODY = "nobody"
"""The answer when no sensor shows anybody. No activity of this name is learned."""

UNCERTAIN = "uncertain"
"""The answer when no activity is probable enough. An activity cannot have this name."""

GAP = "gap"
"""What a log of episodes calls a time without windows. No activity of this name is learned."""
