//! Prompts read from text, JSONL, CSV and Parquet.
