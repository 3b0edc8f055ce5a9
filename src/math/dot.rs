//! Dot products of many rows with a few vectors.
