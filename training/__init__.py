"""Learning: data sets, losses, both stages of Cosmo, quality of modality, export to ONNX."""
