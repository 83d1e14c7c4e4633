"""The encoders behind the contract in `synth.encoder`."""
