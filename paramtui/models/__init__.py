"""Live modules: built, listed, run. The only rooms besides the engine's server that import torch."""
