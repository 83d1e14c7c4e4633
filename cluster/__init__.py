"""WHERE work runs: workers, retries. The only package that imports Ray."""
