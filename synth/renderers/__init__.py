"""The renderers behind the contract in `synth.renderer`."""
