//! Files in: safetensors, and prompts as text, JSONL, CSV and Parquet. The only disk in the domain.

pub mod prompts;
pub mod tensors;
