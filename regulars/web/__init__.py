"""What the two HTTP applications share: errors as RFC 9457 problems, headers, readiness, logs without personal data."""
