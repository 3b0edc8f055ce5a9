//! Files in: safetensors, prompts, YAML, and columns of tables; tables out. The only disk in the domain.

pub mod columns;
pub mod entries;
pub mod matrix;
mod pages;
pub mod parquet_writer;
pub(crate) mod partial;
pub mod prompts;
mod reading;
pub mod tensors;
pub mod yaml;
