"""What the HTTP applications share: problems as RFC 9457 has them, and logs that hold nothing of a person."""
