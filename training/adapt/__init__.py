"""Fine-tuning on the device."""
