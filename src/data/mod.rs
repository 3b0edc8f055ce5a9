//! Files in: safetensors, prompts, and columns of tables. The only disk in the domain.

pub mod columns;
mod pages;
pub mod prompts;
pub mod tensors;
