//! Checkpoints in the safetensors format, checked before use.
