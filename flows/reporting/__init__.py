"""What a refresh changed, left and cost, in figures and in words."""
