//! Files in: safetensors, prompts, and columns of tables. The only disk in the domain.

pub mod columns;
pub mod matrix;
mod pages;
pub mod prompts;
pub mod tensors;
