"""Where datasets can lie: implementations of `synth.storage.Storage`, each imported only when its URLs are used."""
