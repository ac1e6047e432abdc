"""What one training step may be made of: augmentation, distillation, precision, compilation, averaging."""
