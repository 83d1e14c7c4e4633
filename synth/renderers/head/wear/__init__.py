"""What people wear: glasses, hats, clothes."""
