"""Episodes: what a person did, from when to when. The rule that makes them, and the log that stores them."""
