"""FACES: renderers, encoders, checks, one shard from vectors to bytes, storage and reading. No Ray."""
