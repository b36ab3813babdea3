"""What may stay, and for how long: expiry, limits of space, and windows that training keeps."""
