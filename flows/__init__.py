"""A refresh: match, claim, build, publish. It orders the steps, retries and reports; it holds no business logic."""
