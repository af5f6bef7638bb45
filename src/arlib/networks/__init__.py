"""Networks: backbones, linear heads, fine-tuning."""
